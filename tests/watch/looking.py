"""Looking at a task's arguments at every moment of its life, and noting what is found.

Each look does what hooks, handlers and monitors do with arguments, counts the queries that
this costs, and leaves a line in the worker's probe. ``Watching`` is a task class that looks
from its hooks; ``install`` looks from Celery's signals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from celery import Task, current_task, signals
from django.db import connections, models

from cereal_methods import ModelReference
from cereal_methods.rows.lazy import LazyRow
from cereal_methods.rows.reference import QuerySetReference
from tests.shop.probe import mark


def kind_of(value: Any) -> str:
    """Return what stands in a row's place, in a word."""
    if type(value) is LazyRow:
        return "stand-in"
    if isinstance(value, ModelReference):
        return "reference"
    if isinstance(value, QuerySetReference):
        return "rows"
    if isinstance(value, models.Model):
        return "instance"
    return {dict: "plain", int: "key"}.get(type(value), type(value).__name__)


@contextmanager
def counted() -> Iterator[list[str]]:
    """Give the statements that this thread sends meanwhile."""
    statements: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(note))
        yield statements


def answer(question: Callable[[], Any]) -> Any:
    """Return what a question gives, or the error that it raises, in a text."""
    try:
        return question()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def findings(args: Any, kwargs: Any) -> dict[str, Any]:
    """Return what one finds who looks at arguments in all the ways that are usual."""
    from .models import Parcel

    first: Any = args[0] if args else None
    this: Any = kwargs.get("this")
    with counted() as statements:
        found = {
            # First of all, as the first look is what fills the containers.
            "json_kwargs": answer(lambda: sorted(json.loads(json.dumps(kwargs)))),
            "json_args": answer(lambda: len(json.loads(json.dumps(args)))),
            "kind": kind_of(this),
            "pk": answer(lambda: getattr(this, "pk", None)),
            "is_row": isinstance(this, Parcel),
            "kinds": [kind_of(value) for value in args],
            "first_pk": getattr(first, "pk", None),
            "types": [isinstance(args, (list, tuple)), isinstance(kwargs, dict)],
            "length": len(args),
            "added": answer(lambda: len(args + [1]) - len(args)),  # noqa: RUF005
            "copied": answer(lambda: sorted(kwargs.copy())),
            "merged": answer(lambda: sorted({**kwargs, "more": 1})),
            "listed": answer(lambda: len([*args])),
            "contains": ["this" in kwargs, "absent" in kwargs],
            "absent": kwargs.get("absent", "nothing"),
            "repr": answer(lambda: f"{args!r} {kwargs!r}"),
        }
    found["queries"] = len(statements)
    return found


def fields(args: Any, kwargs: Any) -> dict[str, Any]:
    """Return a field of the row, and the queries that reading it costs."""
    with counted() as statements:
        number = answer(lambda: kwargs["this"].number) if "this" in kwargs else None
    return {"number": number, "field_queries": len(statements)}


def look(moment: str, task_id: Any, args: Any, kwargs: Any, **more: Any) -> None:
    """Note what is found at a moment of a task's life."""
    try:
        found = findings(args, kwargs)
        if moment != "received":
            found |= fields(args, kwargs)
    except Exception as error:
        found = {"raised": f"{type(error).__name__}: {error}"}
    mark("look", moment=moment, id=task_id, **found, **more)


class Watching(Task):  # type: ignore[type-arg]
    """A task class that looks at the arguments wherever Celery lets it."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Look before the task begins."""
        look("before_start", task_id, args, kwargs, retries=self.request.retries)
        look("request", task_id, self.request.args, self.request.kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Look where Celery calls the task."""
        look("call", self.request.id, [*args], kwargs)
        return super().__call__(*args, **kwargs)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Look when the task has succeeded."""
        look("on_success", task_id, args, kwargs)

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Look when the task has failed."""
        look("on_failure", task_id, args, kwargs)

    def on_retry(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Look when the task is to be retried."""
        look("on_retry", task_id, args, kwargs)

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Look when the task has ended."""
        look("after_return", task_id, args, kwargs, status=status)


def look_from_within(row: Any, args: Any, kwargs: Any) -> None:
    """Look from the method, at its own arguments and at those of its request."""
    request = current_task.request
    if row is not None:
        kwargs = {**kwargs, "this": row}
    look("method", request.id, list(args), kwargs, retries=request.retries)
    if not request.called_directly:
        look("request_of_method", request.id, request.args, request.kwargs)


def install() -> None:
    """Look from Celery's signals."""
    signals.task_received.connect(_on_received, weak=False)
    signals.task_prerun.connect(_on_prerun, weak=False)
    signals.task_postrun.connect(_on_postrun, weak=False)
    signals.task_failure.connect(_on_failure, weak=False)
    signals.task_retry.connect(_on_retry, weak=False)


def _is_watched(name: str) -> bool:
    return name.startswith("tests.watch.") and "watched" in name


def _on_received(request: Any, **about: Any) -> None:
    if _is_watched(request.name):
        look("received", request.id, request.args, request.kwargs)


def _on_prerun(task_id: str, task: Any, args: Any, kwargs: Any, **about: Any) -> None:
    if _is_watched(task.name):
        look("prerun", task_id, args, kwargs)


def _on_postrun(task_id: str, task: Any, args: Any, kwargs: Any, **about: Any) -> None:
    if _is_watched(task.name):
        look("postrun", task_id, args, kwargs, state=about["state"])


def _on_failure(sender: Any, task_id: str, args: Any, kwargs: Any, **about: Any) -> None:
    if _is_watched(sender.name):
        look("failure", task_id, args, kwargs)


def _on_retry(sender: Any, request: Any, **about: Any) -> None:
    if _is_watched(sender.name):
        look("retry", request.id, request.args, request.kwargs)
