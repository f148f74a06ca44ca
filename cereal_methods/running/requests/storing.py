"""Records that the consumer stores, in the background if the result backend is unavailable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

logger = logging.getLogger("cereal_methods")

#: For how long an unavailable result backend is tried again, in seconds.
_MAX_UNAVAILABLE: Final = 600.0

#: The first and the longest pause between two tries, in seconds.
_PAUSES: Final = (0.5, 10.0)


def store_or_retry(store: Callable[[Any], Any], task: Any, task_id: str) -> None:
    """Call ``store`` with the task's result backend; on failure, call it again in a thread."""
    try:
        store(task.backend)
    except Exception as error:
        logger.warning("A record of %s waits for the result backend: %s", task_id, error)
        arguments = (store, task, task_id)
        threading.Thread(target=_retry, args=arguments, daemon=True).start()


def _retry(store: Callable[[Any], Any], task: Any, task_id: str) -> None:
    deadline = time.monotonic() + _MAX_UNAVAILABLE
    pause, longest = _PAUSES
    while True:
        time.sleep(pause)
        try:
            store(task.backend)  # a backend belongs to one thread
            return
        except Exception:
            if time.monotonic() >= deadline:
                logger.exception("A record of %s could not be stored.", task_id)
                return
        pause = min(pause * 2, longest)
