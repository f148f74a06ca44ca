"""Waiting for a bulk to be completed, even if the result backend is unavailable for a while."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from celery.exceptions import TimeoutError as CeleryTimeoutError

from .errors import error_text

if TYPE_CHECKING:
    from .counts import Counts

logger = logging.getLogger("cereal_methods")

#: For how long an unavailable result backend is asked again, in seconds.
_MAX_UNAVAILABLE: Final = 600.0


class NeverWaits:
    """A result backend in whose process nothing runs while it waits."""

    def refuse_to_wait(self, about: str) -> NoReturn:
        """Raise the error of waiting for ``about``, the id of a task or bulk."""
        raise NotImplementedError


def wait_until_completed(
    bulk_id: str,
    read_counts: Callable[[], Counts],
    check: Callable[[], None],
    *,
    timeout: float | None,
    interval: float,
    on_progress: Callable[[Counts], Any] | None,
) -> Counts:
    """Return the numbers of a bulk when all of its rows are completed; see ``BulkResult.wait``.

    ``check`` raises the error of waiting for rows that cannot be completed any more.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    counts = read_counts()
    while True:
        if on_progress is not None:
            on_progress(counts)
        if counts.completed == counts.total:
            return counts
        check()
        if time.monotonic() >= deadline:
            raise CeleryTimeoutError(
                f"{counts.completed} of {counts.total} rows are completed after {timeout} s."
            )
        time.sleep(interval)
        counts = _read_again(bulk_id, read_counts, deadline, interval)


def _read_again(
    bulk_id: str, read_counts: Callable[[], Counts], deadline: float, interval: float
) -> Counts:
    """Return the numbers of a bulk; read them again while the result backend is unavailable."""
    deadline = min(deadline, time.monotonic() + _MAX_UNAVAILABLE)
    while True:
        try:
            return read_counts()
        except Exception as error:
            if time.monotonic() >= deadline:
                raise
            logger.warning(
                "The results of bulk %s could not be read, and are read again: %s",
                bulk_id,
                error_text(error),
            )
        time.sleep(min(max(interval, 0.1), max(deadline - time.monotonic(), 0.01)))
