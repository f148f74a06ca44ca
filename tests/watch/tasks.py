"""Functions with parcels among their arguments, ours and of somebody else's, watched too."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from cereal_methods import task

from . import optional  # noqa: F401  (tasks are looked for here)
from .looking import Watching, look_from_within


def _look(running: Any, row: Any, args: Any, mode: str) -> str:
    look_from_within(None, [row, *args], {"mode": mode})
    if mode == "fail":
        raise ValueError("this fails")
    if mode == "retry" and not running.request.retries:
        raise running.retry(countdown=0)
    return str(row.number)


@task(base=Watching, bind=True)
def watched_function(self: Any, row: Any, *args: Any, mode: str = "ok") -> str:
    """Look from a function of ours."""
    return _look(self, row, args, mode)


@task(base=Watching, bind=True, select_for_update=True, manager="objects")
def watched_function_locked(self: Any, row: Any, *args: Any, mode: str = "ok") -> str:
    """Look from a function of ours that locks its rows."""
    return _look(self, row, args, mode)


@shared_task(base=Watching, bind=True, serializer="cereal-json")
def watched_other(self: Any, row: Any, *args: Any, mode: str = "ok") -> str:
    """Look from a task that knows nothing of this library."""
    return _look(self, row, args, mode)
