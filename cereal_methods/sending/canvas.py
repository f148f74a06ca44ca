"""Helpers for functions and methods in canvases."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

from celery import group, shared_task, signature

from ..celery_api.tasks import get_current_task
from ..rows.reference import THIS
from ..rows.values import named_reference, to_references
from ..rows.wire import reference_from_plain
from ..running.failures import fetch_or_retry
from ..running.message import sent_arguments_of

R = TypeVar("R")

#: The task behind ``map``, ``starmap`` and ``chunks`` of methods.
STARMAP: Final = "cereal_methods.starmap"


def ensure_self(function: Callable[..., R]) -> Callable[..., R]:
    """Return a function that takes the keyword ``this`` and passes it on as the first argument.

    In a chain, Celery puts the result of the task before in front of the next task's arguments,
    so an instance among these would come second. As ``this`` it comes first::

        @task
        @ensure_self
        def notify(order, result): ...

        chain(pack.s(order), notify.s(this=order))

    A call without ``this`` is an ordinary call. Methods with ``@model_task`` do not need it,
    because their ``self`` always travels as ``this``. Celery does not check the arguments of the
    function when it is sent.
    """

    @functools.wraps(function)
    def ensured(*args: Any, **kwargs: Any) -> R:
        if THIS in kwargs:
            this = kwargs.pop(THIS)
            reference = reference_from_plain(this) or named_reference(this)
            if reference is not None:
                # The message had one of Celery's serializers, or Celery calls an errback inline.
                task = get_current_task()
                sent = functools.partial(sent_arguments_of, task.request if task else None)
                (this,) = fetch_or_retry(task, [reference], sent)
            args = (this, *args)
        return function(*args, **kwargs)

    # Celery checks arguments by the signature. The function's would fit only if its first
    # parameter were called "this".
    ensured.__signature__ = inspect.signature(lambda *args, **kwargs: None)  # type: ignore[attr-defined]
    return ensured


def starmap(task: Any, it: Iterable[Any], serializer: str) -> Any:
    """Return the signature of one task that calls ``task`` with each tuple of arguments."""
    return _starmap.s(task, [to_references(tuple(args)) for args in it]).set(serializer=serializer)


def chunks(task: Any, it: Iterable[Any], n: int, serializer: str) -> group:
    """Return a group of ``starmap`` signatures of ``n`` tuples each.

    Raises ``ValueError`` if ``n`` is less than 1.
    """
    if n < 1:
        raise ValueError(f"A chunk must have at least one item, not {n}.")
    remaining = iter(it)
    parts = iter(lambda: list(islice(remaining, n)), [])
    return group(starmap(task, part, serializer) for part in parts)


def _run_starmap(task: Any, it: Iterable[Any]) -> list[Any]:
    """Call a signature with each tuple of arguments, in the order of the tuples."""
    # Celery's task celery.starmap takes the signature's task only, without its arguments, of which
    # self is one.
    call = signature(task)
    return [call(*args) for args in it]


_starmap: Any = shared_task(name=STARMAP)(_run_starmap)
