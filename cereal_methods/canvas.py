"""Helpers for functions and methods in canvases."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from celery import group, shared_task, signature
from celery._state import get_current_task
from celery.utils import uuid
from django.db import models, transaction

from .arguments import sent_by
from .calls import THIS
from .failures import fetch_for
from .references import ModelReference, from_plain, to_references
from .resolutions import reference_in

if TYPE_CHECKING:
    from celery import Signature
    from celery.result import AsyncResult, GroupResult

R = TypeVar("R")

#: The task behind ``map``, ``starmap`` and ``chunks`` of methods.
STARMAP: Final = "cereal_methods.starmap"


def ensure_self(function: Callable[..., R]) -> Callable[..., R]:
    """Pass the instance in the keyword ``this`` to a function first.

    Celery puts the result of a chain's previous task before the arguments of
    the next, so an instance among them would come second. Sent as ``this``, it
    is the first again::

        @task
        @ensure_self
        def notify(order, result): ...

        chain(pack.s(order), notify.s(this=order))

    A call without ``this`` is an ordinary call. For methods with ``@model_task``
    there is nothing to ensure: their ``self`` always travels so.
    """

    @functools.wraps(function)
    def ensured(*args: Any, **kwargs: Any) -> R:
        if THIS in kwargs:
            this = kwargs.pop(THIS)
            reference = from_plain(this) or reference_in(this)
            if reference is not None:
                # It came under a serializer of Celery's, or with an errback that is called inline.
                task = get_current_task()
                sent = functools.partial(sent_by, task.request if task else None)
                (this,) = fetch_for(task, [reference], sent)
            args = (this, *args)
        return function(*args, **kwargs)

    # Celery checks arguments by the signature, which fits the function's own only
    # where "this" is its first. No type says so either, but that any arguments will do.
    ensured.__signature__ = inspect.signature(lambda *args, **kwargs: None)  # type: ignore[attr-defined]
    return ensured


@overload
def apply_on_commit(  # type: ignore[overload-overlap]  # a group is a signature too
    canvas: group, using: str | None = None, *, robust: bool = False
) -> GroupResult: ...


@overload
def apply_on_commit(
    canvas: Signature[R], using: str | None = None, *, robust: bool = False
) -> AsyncResult[R]: ...


def apply_on_commit(canvas: Any, using: str | None = None, *, robust: bool = False) -> Any:
    """Send a signature of any kind when the transaction has committed.

    ``using`` is the alias of the database whose transaction it is; by default the
    one that the first row in the canvas is written to, or ``default``.
    Returns the canvas's result, whose id is known at once. ``robust`` is that of
    ``django.db.transaction.on_commit``.
    """
    # A copy: the caller may send the same signature again, or change it.
    canvas = canvas.clone()
    result = canvas.freeze()
    return on_commit(canvas.apply_async, result, using or _database_of(canvas), robust=robust)


def send_on_commit(
    task: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    using: str,
    robust: bool,
    options: dict[str, Any],
) -> Any:
    """Send one task when the transaction has committed, and return its result now."""
    task_id = options.setdefault("task_id", uuid())
    # What is sent is what was given, whatever the caller does with it before the commit.
    options.update(args=_copied(args), kwargs=_copied(kwargs))
    send = functools.partial(task.apply_async, **options)
    return on_commit(send, task.AsyncResult(task_id), using, robust=robust)


def on_commit(
    send: Callable[[], Any], result: Any, using: str | None, *, robust: bool = False
) -> Any:
    """Send when the transaction has committed; return its result, or the one that it will have."""
    sent = []

    @functools.wraps(getattr(send, "func", send))  # for its name, which Django logs on failure
    def send_now() -> None:
        sent.append(send())

    transaction.on_commit(send_now, using=using, robust=robust)
    return sent[0] if sent else result  # in no transaction it was sent at once


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind in (list, tuple, set):
        return kind(map(_copied, value))
    return value


def starmap(task: Any, it: Iterable[Any], serializer: str) -> Any:
    """Return the signature of one task that calls ``task`` with each tuple of arguments."""
    return _starmap.s(task, [to_references(tuple(args)) for args in it]).set(serializer=serializer)


def chunks(task: Any, it: Iterable[Any], n: int, serializer: str) -> group:
    """Return a group of ``starmap`` signatures of ``n`` tuples each."""
    if n < 1:
        raise ValueError(f"A chunk must have at least one item, not {n}.")
    remaining = iter(it)
    parts = iter(lambda: list(islice(remaining, n)), [])
    return group(starmap(task, part, serializer) for part in parts)


def _run_starmap(task: Any, it: Iterable[Any]) -> list[Any]:
    """Call a signature with each tuple of arguments, in the order of the tuples."""
    # Celery's own celery.starmap takes the task of the signature and forgets its
    # arguments, self among them.
    call = signature(task)
    return [call(*args) for args in it]


_starmap: Any = shared_task(name=STARMAP)(_run_starmap)


def _database_of(canvas: Any) -> str | None:
    """Return the database of the first row in a canvas; a signature's ``this`` comes first."""
    if isinstance(canvas, (models.Model, ModelReference)):
        reference = canvas if isinstance(canvas, ModelReference) else ModelReference.of(canvas)
        return reference.using
    if isinstance(canvas, Mapping):
        plain = from_plain(canvas)
        if plain is not None:
            return plain.using
        parts: Iterable[Any] = [(canvas.get("kwargs") or {}).get(THIS), *canvas.values()]
    elif isinstance(canvas, (list, tuple, set, frozenset)):
        parts = canvas
    else:
        return None
    return next((found for part in parts if (found := _database_of(part)) is not None), None)
