"""Whether what is scheduled can be sent: ``beat_schedule``, and django-celery-beat's rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db import connections, models, router

from .. import periodic
from ..exceptions import CerealError
from ..references import THIS, ModelReference, from_plain, reference_to
from .registry import celery_apps, never_raising


@never_raising
def check_beat_schedule(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E008: an entry of ``beat_schedule`` that would fail whenever it is due."""
    for app in celery_apps():
        for name, entry in (app.conf.beat_schedule or {}).items():
            if isinstance(entry, Mapping):
                call = entry.get("args") or (), entry.get("kwargs") or {}
                yield from _told(app, f"beat_schedule[{name!r}]", entry.get("task"), *call)


@never_raising
def check_periodic_tasks(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """E008: a periodic task of django-celery-beat that would fail whenever it is due.

    It reads their table, and so it runs for the databases alone that Django gives.
    """
    if not databases or not apps.is_installed("django_celery_beat"):
        return
    model: Any = apps.get_model("django_celery_beat", "PeriodicTask")
    alias = router.db_for_read(model)
    table = model._meta.db_table
    if alias not in databases or table not in connections[alias].introspection.table_names():
        return
    for app in celery_apps()[:1]:
        for row in model.objects.using(alias).filter(enabled=True).order_by("pk"):
            try:
                call = json.loads(row.args or "[]"), json.loads(row.kwargs or "{}")
            except ValueError:
                continue  # which is for django-celery-beat to tell
            yield from _told(app, f"The periodic task {row.name!r}", row.task, *call)


def _told(app: Any, where: str, task: Any, args: Any, kwargs: Any) -> Iterator[CheckMessage]:
    # Functions that beat is to call (BeatLazyFunc), and generators, tell nothing before.
    if isinstance(args, (list, tuple)) and isinstance(kwargs, Mapping):
        wrong = _wrong(app, task, args, kwargs)
        if wrong is not None:
            fact, hint = wrong
            yield Error(f"{where} cannot run {task}: {fact}", hint=hint, id="cereal_methods.E008")


def _wrong(
    app: Any, name: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Return what is wrong with a call of one of our tasks, and the remedy."""
    form = 'Write "kwargs": {"this": <primary key>, ...}, or send it for rows with the task '
    form += f"{periodic.BULK!r}."
    try:
        if name == periodic.BULK:
            app.tasks[name].__header__(*args, **kwargs)
            periodic.planned(app, *args, **kwargs, is_due=False)
            return None
        task = app.tasks.get(name)
        if task is None:
            return _near(app, name)
        model = getattr(task, "row_model", None)
        if model is None:
            return None
        if THIS not in kwargs:
            return "it is a method, and no row is named.", form
        this = kwargs[THIS]
        if not isinstance(from_plain(this) or this, (models.Model, ModelReference)):
            reference_to(model, this)
        if task.typing:
            task.__header__(*args, **kwargs)
    except CerealError as error:
        fact, _, hint = str(error).partition(". ")
        return f"{fact.rstrip('.')}.", hint or form
    except (TypeError, ValueError) as error:
        return f"{error}.", "Correct its arguments."
    return None


def _near(app: Any, name: Any) -> tuple[str, str] | None:
    """Return what is wrong with a name that begins as a model with method tasks, and ends not."""
    owner = str(name).rpartition(".")[0]
    for task in app.tasks.values():
        model = getattr(task, "row_model", None)
        if model is not None and owner == f"{model.__module__}.{model.__name__}":
            own = sorted(each for each in app.tasks if each.startswith(f"{owner}."))
            return f"{model._meta.label} has no such task.", f"It has {', '.join(own)}."
    return None
