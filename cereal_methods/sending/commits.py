"""Sending when a transaction commits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

from celery import uuid
from django.db import models, transaction

from ..rows.reference import THIS, ModelReference
from ..rows.wire import reference_from_plain
from ..running import durability

if TYPE_CHECKING:
    from celery import Signature, group
    from celery.result import AsyncResult, GroupResult

    from .canvas import R


@overload
def apply_on_commit(  # type: ignore[overload-overlap]  # a group is a signature too
    canvas: group, using: str | None = None, *, robust: bool = False
) -> GroupResult: ...


@overload
def apply_on_commit(
    canvas: Signature[R], using: str | None = None, *, robust: bool = False
) -> AsyncResult[R]: ...


def apply_on_commit(canvas: Any, using: str | None = None, *, robust: bool = False) -> Any:
    """Send a signature, chain, group or chord when the transaction commits.

    ``using`` (str) is the alias of the database whose transaction it is. By default it is the
    database that the first row in the canvas is written to, or ``default`` if it has no rows.
    ``robust`` (bool) is that of ``django.db.transaction.on_commit``.

    Returns the result of the canvas, whose id is known at once. Outside a transaction the canvas
    is sent at once. An error of sending is raised after the commit, where the transaction's block
    ends.
    """
    # The caller may send the same signature again, or change it, so a copy is sent.
    canvas = canvas.clone()
    if durability.records_canvas(
        canvas.app, canvas
    ):  # recorded in the transaction, and sent on commit
        return canvas.apply_async()
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
    """Send one task when the transaction commits, and return its result now."""
    if task.target.is_durable and durability.is_on(task.app):
        return task.apply_async(args, kwargs, **options)
    task_id = options.setdefault("task_id", uuid())
    # The caller may change the arguments before the commit, so copies are sent.
    options.update(args=_copied(args), kwargs=_copied(kwargs))
    send = functools.partial(task.apply_async, **options)
    return on_commit(send, task.AsyncResult(task_id), using, robust=robust)


def on_commit(
    send: Callable[[], Any], result: Any, using: str | None, *, robust: bool = False
) -> Any:
    """Call ``send`` when the transaction commits; return its result if it was called at once.

    Otherwise return ``result``, which is the result that it will have.
    """
    sent = []

    @functools.wraps(getattr(send, "func", send))  # Django logs its name if it fails
    def send_now() -> None:
        sent.append(send())

    transaction.on_commit(send_now, using=using, robust=robust)
    return sent[0] if sent else result


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind in (list, tuple, set):
        return kind(map(_copied, value))
    return value


def _database_of(canvas: Any) -> str | None:
    """Return the database of the first row in a canvas; a signature's ``this`` comes first."""
    if isinstance(canvas, (models.Model, ModelReference)):
        reference = canvas if isinstance(canvas, ModelReference) else ModelReference.of(canvas)
        return reference.using
    if isinstance(canvas, Mapping):
        plain = reference_from_plain(canvas)
        if plain is not None:
            return plain.using
        parts: Iterable[Any] = [(canvas.get("kwargs") or {}).get(THIS), *canvas.values()]
    elif isinstance(canvas, (list, tuple, set, frozenset)):
        parts = canvas
    else:
        return None
    return next((using for part in parts if (using := _database_of(part)) is not None), None)
