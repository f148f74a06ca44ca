"""The database that a task's record is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, router

from ..rows.reference import THIS, ModelReference, QuerySetReference, Reference, reference_of
from ..rows.wire import reference_from_plain
from .models import TaskRecord


def database_of(task: Any, kwargs: Any) -> tuple[str, Reference | None]:
    """Return the database of a task's record, and the row or rows that the task runs on.

    The record is on the database that the row is written to. For a class method or a method of a
    manager it is the database of the model, and for a function that of ``TaskRecord``.
    """
    target = task.target
    if target.model is not None:
        this = kwargs.get(THIS) if isinstance(kwargs, Mapping) else None
        reference = reference_from_plain(this) or reference_of(this)
        if isinstance(reference, (ModelReference, QuerySetReference)):
            return reference.using, reference
    return fallback(task), None


def fallback(task: Any) -> str:
    """Return the database of the record of a task that does not run on a row."""
    owner = task.target.owner
    return str(router.db_for_write(TaskRecord if owner is None else owner))


def databases() -> Iterator[str]:
    """Yield the databases that should have a table of records."""
    for alias in connections:
        if connections[alias].settings_dict.get("TEST", {}).get("MIRROR"):
            continue
        if router.allow_migrate_model(alias, TaskRecord):
            yield alias


def is_database(alias: Any) -> bool:
    """Whether an alias from a message is the alias of a database."""
    return isinstance(alias, str) and alias in connections.settings


__all__ = ["DEFAULT_DB_ALIAS", "database_of", "databases", "fallback", "is_database"]
