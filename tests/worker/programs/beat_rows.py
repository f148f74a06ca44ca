"""Entries in the tables of django-celery-beat: ``... beat_rows NAME JSON`` calls a function."""

from __future__ import annotations

import json
import sys
from typing import Any

import django

import tests.celery  # noqa: F401  (the app)

django.setup()

from django.core.checks import run_checks  # noqa: E402
from django.core.management import call_command  # noqa: E402


def fill(entries: dict[str, dict[str, Any]]) -> None:
    """Create the tables, with these entries for each second and no others."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    PeriodicTask.objects.all().delete()
    second, _ = IntervalSchedule.objects.get_or_create(every=1, period=IntervalSchedule.SECONDS)
    for name, entry in entries.items():
        call = {key: json.dumps(entry[key]) for key in ("args", "kwargs") if key in entry}
        PeriodicTask.objects.create(name=name, task=entry["task"], interval=second, **call)


def check(entries: dict[str, dict[str, str]]) -> None:
    """Add entries; print what the checks say of them, and how much without a database."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    for name, entry in entries.items():
        PeriodicTask.objects.create(name=name, interval=IntervalSchedule.objects.get(), **entry)
    messages = run_checks(tags=["cereal_methods"], databases=["default"])
    print(json.dumps([[message.id, message.msg] for message in messages]))
    print(len(run_checks(tags=["cereal_methods"], databases=[])))


if __name__ == "__main__":
    globals()[sys.argv[1]](json.loads(sys.argv[2]))
