"""System checks: what ``manage.py check`` says of a project. ``docs/checks.md`` lists the ids.

A check looks at settings, models and Celery's registry, and never at a row. It never
raises: what keeps it from looking is a message too. Databases are asked for their
features by ``manage.py check --database`` and ``migrate`` alone.
"""

from __future__ import annotations

from django.core.checks import Tags, register

from .databases import check_locks
from .methods import check_names, check_relations
from .schedules import check_beat_schedule, check_periodic_tasks
from .serializers import check_celery, check_results, check_serializers
from .settings import (
    check_aliases,
    check_empty_keys,
    check_key_strength,
    check_keys,
    check_settings,
)

#: The tag of all of them, as in ``manage.py check --tag cereal_methods``.
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
