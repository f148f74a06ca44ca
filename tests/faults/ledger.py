"""What the tests' methods have done, counted in Redis by their tasks' ids."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

from django.conf import settings


@cache
def _redis() -> Any:
    import redis  # here, for a worker that is patched for gevent by then

    return redis.Redis.from_url(settings.LEDGER_URL, decode_responses=True)


def begin(task_id: str) -> None:
    """Count that the method of a task has begun, and where."""
    pipe = _redis().pipeline()
    pipe.hincrby("begun", task_id, 1)
    pipe.rpush("pids", os.getpid())
    pipe.execute()


def end(task_id: str) -> None:
    """Count that it has come to its end."""
    _redis().hincrby("ended", task_id, 1)


def begun(ids: Iterable[str] | None = None) -> dict[str, int]:
    """Return how often methods have begun, for the tasks with these ids or for all."""
    return _counts("begun", ids)


def ended(ids: Iterable[str] | None = None) -> dict[str, int]:
    """Return how often methods have come to their end."""
    return _counts("ended", ids)


def pids() -> list[int]:
    """Return the processes in which methods have begun."""
    return [int(pid) for pid in _redis().lrange("pids", 0, -1)]


def clear() -> None:
    """Forget everything."""
    _redis().flushdb()


def empty(url: str) -> None:
    """Forget everything that a Redis holds."""
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushall()


def _counts(name: str, ids: Iterable[str] | None) -> dict[str, int]:
    found = {key: int(times) for key, times in _redis().hgetall(name).items()}
    return found if ids is None else {key: found.get(key, 0) for key in ids}
