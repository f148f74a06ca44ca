"""The function behind a task, and how a call of it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from celery.app.autoretry import add_autoretry_behaviour

from .calls import Call
from .exceptions import FunctionAborted

if TYPE_CHECKING:
    from django.db import models

    from .policies import RowPolicy


#: What the pools of gevent and eventlet end a task with: for a time limit the second.
_OF_POOLS: Final = frozenset({"GreenletExit", "Timeout"})


@dataclass(frozen=True, slots=True)
class Target:
    """The function behind a task, and how its rows are fetched.

    ``model`` is that of the row that a method runs on, or None. ``parameters`` has the
    policies of a function's parameters that have one of their own; ``names`` are those that
    positional arguments go to.
    """

    name: str
    function: Callable[..., Any]
    policy: RowPolicy
    model: type[models.Model] | None = None
    parameters: Mapping[str, RowPolicy] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def call_function(
    target: Target, task: Any, request: Any, row: Any, args: Iterable[Any], kwargs: Any
) -> Any:
    """Return what the function returns; ``task`` is the Celery task that runs it, or None."""
    function = target.function if task is None else _autoretried(task, target)
    try:
        return function(*args, **kwargs) if target.model is None else function(row, *args, **kwargs)
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # Celery would lose its process, and the task's result, for asyncio.CancelledError.
        if is_direct(request) or type(error).__name__ in _OF_POOLS:
            raise
        raise FunctionAborted(
            f"{target.name} raised {type(error).__qualname__}, which ends a coroutine or a "
            "generator and not a task. Catch it in the function.",
            target.name,
        ) from error


class _Retried:
    """What Celery's autoretry wraps: the function alone, and not the fetch before it."""

    def __init__(self, task: Any, run: Callable[..., Any]) -> None:
        vars(self).update(task=task, run=run)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_run":  # by which Celery sees that it has wrapped a task already
            raise AttributeError(name)
        return getattr(self.task, name)

    def __delattr__(self, name: str) -> None:
        delattr(self.task, name)


def _autoretried(task: Any, target: Target) -> Callable[..., Any]:
    """Return the task's function, which is retried as Celery's ``autoretry_for`` says."""
    found: Callable[..., Any] | None = vars(task).get("autoretried")
    if found is None:
        retried = _Retried(task, target.function)
        add_autoretry_behaviour(retried)
        found = task.autoretried = retried.run
    return found


def is_direct(request: Any) -> bool:
    """Whether no message has brought the task: it was called, as a function is."""
    return request is None or bool(request.called_directly)


def message_of(task: Any) -> Any:
    """Return the request that a task runs for, or None."""
    if task is None:
        return None
    stack = task.request_stack.stack
    request: Any = stack[-1] if stack else None
    if len(stack) > 1 and (request.called_directly or request.id == stack[-2].id):
        # Celery's Task.__call__ has pushed a copy: for a task class with a __call__ of its
        # own, run eagerly, or for a function that calls its own task.
        below = stack[-2]
        if not (below.called_directly or getattr(below, "has_begun", False)):
            return below
    return None if getattr(request, "has_begun", False) else request


def with_copy(task: Any, request: Any) -> list[Any]:
    """Return a message's request, and the copy that Celery's ``Task.__call__`` has made of it."""
    top = task.request_stack.top
    return [request] if top is None or top is request else [request, top]


def call_of(request: Any) -> Call | None:
    """Return the call whose arguments a request has, if one of our serializers wrote them."""
    for container in () if request is None else (request.args, request.kwargs):
        call = getattr(container, "call", None)
        if isinstance(call, Call):
            return call
    return None
