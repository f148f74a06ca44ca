"""The progress of long batches, stored in the result backend once a second for other hosts.

A thread stores it, so an unavailable result backend does not delay any row.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from django.db import connections

from ...results.ids import progress_id
from ...results.outcome import Outcome, outcome_from
from .events import Events

if TYPE_CHECKING:
    from .journal import Journal

logger = logging.getLogger("cereal_methods")

#: How often progress is stored, and how long a batch runs before it is stored first, in seconds.
INTERVAL: Final = 1.0

#: The state of the record. It is not a final state, which backends would not overwrite.
STATE: Final = "PROGRESS"

#: How long a batch that has ended waits for an unavailable result backend, in seconds.
MAX_WAIT: Final = 600.0


class Publisher:
    """The thread of a process that stores the progress of its batches."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._batches: dict[str, tuple[Any, Journal, float]] = {}
        self._stored: dict[str, int] = {}  # how many lines of each
        self._pid = 0

    def add(self, app: Any, journal: Journal) -> None:
        """Store a batch's progress from now on."""
        with self._lock:
            if self._pid != os.getpid():  # a fork does not inherit threads
                self._pid = os.getpid()
                self._batches.clear()
                self._stored.clear()
                threading.Thread(target=self._run, name="cereal_methods", daemon=True).start()
            self._batches[journal.id] = (app, journal, time.monotonic())
            if len(self._batches) == 1:
                self._lock.notify()

    def remove(self, batch_id: str) -> bool:
        """Stop storing a batch's progress; return whether it was stored."""
        with self._lock:
            self._batches.pop(batch_id, None)
            return self._stored.pop(batch_id, None) is not None

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._batches:
                    self._lock.wait()
                batches = list(self._batches.values())
            for app, journal, since in batches:
                if time.monotonic() - since >= INTERVAL:
                    self.store(app, journal)
            time.sleep(INTERVAL / 2)

    def store(self, app: Any, journal: Journal) -> None:
        """Store the progress of a batch, unless it has not changed."""
        ended = len(journal.lines)
        with self._lock:
            if self._stored.get(journal.id, 0) == ended or journal.id not in self._batches:
                return
        try:
            app.backend.store_result(progress_id(journal.id), journal.text(), STATE)
        except Exception as error:
            logger.debug("The progress of batch %s could not be stored: %s", journal.id, error)
            return
        finally:
            connections.close_all()  # this thread's, if results are in Django's database
        with self._lock:
            if journal.id in self._batches:
                self._stored[journal.id] = ended


publisher: Final = Publisher()


def recorded_progress(backend: Any, batch_id: str) -> tuple[Outcome | None, Events]:
    """Return the outcome of a batch that is delivered again, and its progress if it has none."""
    try:
        outcome = outcome_from(backend.get_task_meta(batch_id, cache=False)["result"])
        if outcome is not None:
            return outcome, Events()
        text = backend.get_task_meta(progress_id(batch_id), cache=False)["result"]
        return None, Events.read(text) if isinstance(text, str) else Events()
    except Exception as error:
        logger.warning("The progress of batch %s could not be read: %s", batch_id, error)
        return None, Events()


def wait_for_backend(backend: Any, batch_id: str, max_wait: float = MAX_WAIT) -> None:
    """Wait until the result backend is available, for ``max_wait`` seconds at most."""
    deadline = time.monotonic() + max_wait
    pause = 0.1
    while True:
        try:
            backend.get_task_meta(batch_id, cache=False)
            return
        except Exception as error:
            if time.monotonic() >= deadline:
                return
            logger.warning(
                "Batch %s waits for the result backend: %s: %s",
                batch_id,
                type(error).__name__,
                error,
            )
        time.sleep(pause)
        pause = min(pause * 2, 5.0)
