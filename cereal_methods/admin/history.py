"""The last runs of an object's methods: durable ones by their records, others by their results."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celery import current_app
from celery.states import EXCEPTION_STATES
from django.apps import apps
from django.db.models import Q

from ..exceptions import UnsupportedKey
from ..rows.reference import ModelReference

if TYPE_CHECKING:
    from datetime import datetime

    from django.db import models

    from .actions import MethodAction

#: How many runs are listed, and how many results are read to find them.
_LISTED: Final = 10
_READ: Final = 1000


class LastRun(NamedTuple):
    """A task that ran, or is running, for an object."""

    title: str
    state: str
    at: datetime
    error: str
    is_failure: bool


def has_history(actions: Collection[MethodAction]) -> bool:
    """Whether the runs of any of these methods can be listed."""
    return is_kept() or (is_recorded() and any(action.is_durable for action in actions))


def runs_of(obj: models.Model, actions: Collection[MethodAction]) -> list[LastRun]:
    """Return the newest runs of an object's methods, however they were sent."""
    durable = {action.task.name: action.title for action in actions if action.is_durable}
    others = {action.task.name: action.title for action in actions if not action.is_durable}
    runs = [*recorded_runs(obj, durable), *last_runs(obj, others)]
    return sorted(runs, key=lambda run: run.at, reverse=True)[:_LISTED]


def is_recorded() -> bool:
    """Whether durable tasks have records here."""
    return apps.is_installed("cereal_methods.records")


def recorded_runs(obj: models.Model, titles: Mapping[str, str]) -> list[LastRun]:
    """Return an object's newest durable tasks, with one query that uses an index.

    ``titles`` maps the names of the tasks to their titles. No result backend is needed.
    """
    if not titles or not is_recorded():
        return []
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


def is_kept() -> bool:
    """Whether django-celery-results is installed."""
    return apps.is_installed("django_celery_results")


def last_runs(obj: models.Model, titles: Mapping[str, str]) -> list[LastRun]:
    """Return the newest runs of tasks for an object, however they were sent.

    ``titles`` maps the names of the tasks to their titles. With ``CELERY_RESULT_EXTENDED``
    each result has the task's name and arguments, by which its row is found. The database
    cannot search arguments that ``cereal-pickle`` has encoded, so only the newest results of
    these tasks are read.
    """
    if not titles or not is_kept():
        return []
    try:
        reference = ModelReference.of(obj)
    except UnsupportedKey:
        return []
    # The row's text in the arguments of a bulk's task, and its plain form in those of a call.
    texts = [repr(reference), repr(reference.as_plain())[1:-1]]
    wanted = Q(content_encoding="binary")
    for text in texts:
        stored = json.dumps(text)[1:-1]
        wanted |= Q(task_args__contains=stored) | Q(task_kwargs__contains=stored)
    records = apps.get_model("django_celery_results", "TaskResult")._default_manager.filter(
        wanted, task_name__in=list(titles)
    )
    newest = records.order_by("-date_created").values(
        "task_name", "status", "date_created", "task_args", "task_kwargs",
        "result", "content_type", "content_encoding",
    )[:_READ]  # fmt: skip
    return _runs_of(newest, reference, titles)


def _runs_of(
    records: Iterable[dict[str, Any]], reference: ModelReference, titles: Mapping[str, str]
) -> list[LastRun]:
    runs = []
    for record in records:
        args, kwargs = (str(_decoded(record, name)) for name in ("task_args", "task_kwargs"))
        if _is_of(reference, args, kwargs):
            state = record["status"]
            is_failure = state in EXCEPTION_STATES
            error = _error(record) if is_failure else ""
            title = titles[record["task_name"]]
            runs.append(LastRun(title, state, record["date_created"], error, is_failure))
            if len(runs) == _LISTED:
                break
    return runs


def _is_of(reference: ModelReference, args: str, kwargs: str) -> bool:
    """Whether the texts of arguments are those of a call on the row.

    The row of a call comes first in the arguments or last in the keywords. Anywhere else, the
    text belongs to another argument.
    """
    text, plain = repr(reference), f"'this': {reference.as_plain()!r}"
    return (
        args.startswith((f"({text},", f"({text})"))
        or kwargs.startswith((f"{{'this': {text}", f"{{{plain}"))
        or kwargs.endswith(f"{plain}}}")
    )


def _error(record: dict[str, Any]) -> str:
    match _decoded(record, "result"):
        case {"exc_type": kind, "exc_message": message}:
            text = ", ".join(map(str, message)) if isinstance(message, (list, tuple)) else message
            return f"{kind}: {text}"
        case BaseException() as error:
            return f"{type(error).__qualname__}: {error}"
    return ""


def _decoded(record: dict[str, Any], name: str) -> Any:
    """Return a field of a record, or an empty text if this process cannot read it."""
    content = record[name]
    if not content:
        return ""
    try:
        if record["content_encoding"] == "binary":
            content = base64.b64decode(content)
        backend = current_app.backend
        return backend.decode(content)  # by the app's result serializer
    except Exception:  # written by another serializer, or of an unknown error class
        return ""
