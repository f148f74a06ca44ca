"""The time limits of a batch."""

from __future__ import annotations

import time
from typing import Any, Final

from celery import signals

from ...celery_api.worker import time_limits_of

#: A batch uses at most this part of its time limit before another message continues it, so that
#: each row may take nearly all of the limit.
_SHARE: Final = 0.1

# The hard and the soft time limit of the worker's command line.
_worker_limits: list[float | None] = [None, None]


@signals.celeryd_after_setup.connect(weak=False, dispatch_uid=f"{__name__}.limits")
def _store_worker_limits(instance: Any, **_: Any) -> None:
    _worker_limits[:] = time_limits_of(instance)


class TimeShare:
    """The part of its time limits that a batch uses, from now on."""

    def __init__(self, task: Any, request: Any) -> None:
        hard, soft = request.timelimit or (None, None)
        limits = [
            hard or task.time_limit or _worker_limits[0],
            soft or task.soft_time_limit or _worker_limits[1],
        ]
        self._started = time.monotonic()
        self._seconds = min((limit * _SHARE for limit in limits if limit), default=None)

    @property
    def elapsed(self) -> float:
        """How long the batch has been running, in seconds."""
        return time.monotonic() - self._started

    def is_used(self) -> bool:
        """Whether another message should continue the batch."""
        return self._seconds is not None and self.elapsed > self._seconds
