"""System checks, which report a project's mistakes before a worker meets them.

The checks look at settings, models and Celery's registry, never at rows. A check that fails
reports that with a message (W008) and does not raise. Only ``manage.py check --database`` and
``migrate`` ask databases for their features.
"""

from __future__ import annotations

from django.core.checks import Tags, register

from .celery import check_celery
from .databases import check_locks
from .methods import check_names, check_relations
from .results import check_results
from .schedules import check_beat_schedule, check_periodic_tasks
from .serializers import check_serializers
from .settings import (
    check_aliases,
    check_empty_keys,
    check_key_strength,
    check_keys,
    check_settings,
)

#: The tag of all checks: ``manage.py check --tag cereal_methods``.
TAG = "cereal_methods"

for _check in (
    check_settings,
    check_aliases,
    check_empty_keys,
    check_keys,
    check_celery,
    check_serializers,
    check_results,
    check_names,
    check_relations,
    check_beat_schedule,
):
    register(_check, TAG)
register(check_key_strength, TAG, deploy=True)
register(check_locks, TAG, Tags.database)
register(check_periodic_tasks, TAG, Tags.database)
