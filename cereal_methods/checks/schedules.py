"""Checks of scheduled tasks: ``beat_schedule`` and django-celery-beat's periodic tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db import connections, models, router

from ..celery_api.tasks import check_arguments
from ..django_api.databases import has_table
from ..exceptions import CerealError
from ..rows.reference import THIS, ModelReference
from ..rows.wire import reference_from_key, reference_from_plain
from ..running.target import row_model_of
from ..sending import schedules
from .registry import celery_apps, never_raising


@never_raising
def check_beat_schedule(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E008: an entry of ``beat_schedule`` that would fail."""
    for app in celery_apps():
        for name, entry in (app.conf.beat_schedule or {}).items():
            if isinstance(entry, Mapping):
                call = entry.get("args") or (), entry.get("kwargs") or {}
                yield from _messages(app, f"beat_schedule[{name!r}]", entry.get("task"), *call)


@never_raising
def check_periodic_tasks(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """E008: a periodic task of django-celery-beat that would fail.

    It reads a table, so it runs only for the databases that ``manage.py check --database`` names.
    """
    if not databases or not apps.is_installed("django_celery_beat"):
        return
    model: Any = apps.get_model("django_celery_beat", "PeriodicTask")
    alias = router.db_for_read(model)
    table = model._meta.db_table
    if alias not in databases or not has_table(connections[alias], table):
        return
    for app in celery_apps()[:1]:
        for row in model.objects.using(alias).filter(enabled=True).order_by("pk"):
            try:
                call = json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
            except ValueError:
                continue  # django-celery-beat reports it
            yield from _messages(app, f"The periodic task {row.name!r}", row.task, *call)


def _messages(app: Any, where: str, task: Any, args: Any, kwargs: Any) -> Iterator[CheckMessage]:
    # Lazy arguments (generators, BeatLazyFunc) cannot be validated early.
    if isinstance(args, (list, tuple)) and isinstance(kwargs, Mapping):
        problem = _problem(app, task, args, kwargs)
        if problem is not None:
            reason, remedy = problem
            yield Error(
                f"{where} cannot run {task}: {reason}", hint=remedy, id="cereal_methods.E008"
            )


def _problem(
    app: Any, name: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return why a call of one of the library's tasks would fail, and the remedy."""
    form = 'Write "kwargs": {"this": <primary key>, ...}, or send it for many rows with the task '
    form += f"{schedules.BULK!r}."
    try:
        if name == schedules.BULK:
            check_arguments(app.tasks[name], args, kwargs)
            schedules.BulkCall(*args, **kwargs).bulk(app, is_due=False)
            return None
        task = app.tasks.get(name)
        if task is None:
            return _near(app, name)
        model = row_model_of(task)
        if model is None:
            return None
        if THIS not in kwargs:
            return "it is a method, and the call does not name a row.", form
        this = kwargs[THIS]
        if not isinstance(reference_from_plain(this) or this, (models.Model, ModelReference)):
            reference_from_key(model, this)
        if task.typing:
            check_arguments(task, args, kwargs)
    except CerealError as error:
        reason, _, remedy = str(error).partition(". ")
        return f"{reason.rstrip('.')}.", remedy or form
    except (TypeError, ValueError) as error:
        return f"{error}.", "Correct the arguments."
    return None


def _near(app: Any, name: Any) -> tuple[str, str] | None:
    """Return what is wrong with a name that begins as a model with method tasks, and ends not."""
    owner = str(name).rpartition(".")[0]
    for task in app.tasks.values():
        model = row_model_of(task)
        if model is not None and owner == f"{model.__module__}.{model.__name__}":
            own = sorted(each for each in app.tasks if each.startswith(f"{owner}."))
            return f"{model._meta.label} has no such task.", f"It has {', '.join(own)}."
    return None
