"""The last runs of an object's durable methods, by their records."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.apps import apps

from ..exceptions import UnsupportedKey

if TYPE_CHECKING:
    from datetime import datetime

    from django.db import models

    from .actions import MethodAction

#: How many runs are listed.
_LISTED: Final = 10


class LastRun(NamedTuple):
    """A durable task of an object."""

    title: str
    state: str
    at: datetime
    error: str
    is_failure: bool


def has_history(actions: Collection[MethodAction]) -> bool:
    """Whether the runs of any of these methods can be listed."""
    has_records = apps.is_installed("cereal_methods.records")
    return has_records and any(action.is_durable for action in actions)


def runs_of(obj: models.Model, actions: Collection[MethodAction]) -> list[LastRun]:
    """Return the newest runs of an object's durable methods, however they were sent.

    It takes one query, which uses an index.
    """
    if not has_history(actions):
        return []
    titles = {action.task.name: action.title for action in actions if action.is_durable}
    record_class: Any = apps.get_model("cereal_records", "TaskRecord")
    try:
        records = record_class.objects.for_instance(obj)
    except UnsupportedKey:
        return []
    newest = records.filter(task__in=list(titles)).order_by("-created_at")
    columns = newest.values_list("task", "state", "created_at", "error")
    return [
        LastRun(titles[task], str(record_class.State(state).label), at, error, state == "failed")
        for task, state, at, error in columns[:_LISTED]
    ]
