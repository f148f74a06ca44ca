"""The last runs of an object's methods, where django-celery-results keeps the results."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celery import current_app
from celery.states import EXCEPTION_STATES
from django.apps import apps
from django.db.models import Q

from ..exceptions import UnsupportedKey
from ..references import ModelReference

if TYPE_CHECKING:
    from datetime import datetime

    from django.db import models

#: How many runs are shown, and how many records of the methods are read to find them.
_SHOWN: Final = 10
_READ: Final = 1000


class LastRun(NamedTuple):
    """A task that ran, or runs, for an object."""

    title: str
    state: str
    at: datetime
    error: str
    is_failure: bool


def is_kept() -> bool:
    """Tell whether django-celery-results is installed."""
    return apps.is_installed("django_celery_results")


def last_runs(obj: models.Model, titles: Mapping[str, str]) -> list[LastRun]:
    """Return the newest runs of tasks for an object, whoever sent them; titles by task name.

    They are found by what ``CELERY_RESULT_EXTENDED`` makes Celery note: name and arguments
    of each task. Under ``cereal-pickle`` results those can be read, and not searched, and so
    the newest records of the tasks alone are looked at.
    """
    if not is_kept():
        return []
    try:
        reference = ModelReference.of(obj)
    except UnsupportedKey:
        return []
    # As bulks and logs write it, and as the message of a single call has it.
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
    return _found(newest, reference, titles)


def _found(
    records: Iterable[dict[str, Any]], reference: ModelReference, titles: Mapping[str, str]
) -> list[LastRun]:
    found = []
    for record in records:
        args, kwargs = (str(_decoded(record, name)) for name in ("task_args", "task_kwargs"))
        if _is_of(reference, args, kwargs):
            state = record["status"]
            is_failure = state in EXCEPTION_STATES
            error = _error(record) if is_failure else ""
            title = titles[record["task_name"]]
            found.append(LastRun(title, state, record["date_created"], error, is_failure))
            if len(found) == _SHOWN:
                break
    return found


def _is_of(reference: ModelReference, args: str, kwargs: str) -> bool:
    """Tell whether the texts of arguments are of a call on the row, which is first or last.

    A row among the other arguments, or a text that looks like one, is none of the call's own.
    """
    shown, plain = repr(reference), f"'this': {reference.as_plain()!r}"
    return (
        args.startswith((f"({shown},", f"({shown})"))
        or kwargs.startswith((f"{{'this': {shown}", f"{{{plain}"))
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
    """Return what a record holds; nothing if this process cannot read it."""
    content = record[name]
    if not content:
        return ""
    try:
        if record["content_encoding"] == "binary":
            content = base64.b64decode(content)
        backend = current_app.backend
        return backend.decode(content)  # with the app's own serializer, as the backend does
    except Exception:  # another serializer's, or an error class that is not here
        return ""
