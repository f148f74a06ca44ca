"""Helpers for functions and methods in canvases."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from .arguments import THIS
from .references import from_plain
from .tasks import settle

R = TypeVar("R")


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
            args = (*settle(from_plain(this) or this), *args)
        return function(*args, **kwargs)

    return ensured
