"""How far long batches are, told to the result backend once a second, for other hosts.

A thread of its own does it: a backend that is away delays the record, and never a row.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import Any, Final

from django.db import connections

from .journal import Events, Journal
from .outcomes import Outcome, outcome_of, progress_id

logger = logging.getLogger("cereal_methods")

#: How often progress is told, and from when on, in seconds.
INTERVAL: Final = 1.0

#: The state of the record; no final one, which backends would not overwrite.
STATE: Final = "PROGRESS"

#: How long a batch waits for a result backend that is away before it ends, in seconds.
PATIENCE: Final = 600.0


class Publisher:
    """A process's thread that tells the progress of its batches."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._batches: dict[str, tuple[Any, Journal, float]] = {}
        self._told: dict[str, int] = {}
        self._pid = 0

    def add(self, app: Any, journal: Journal) -> None:
        """Tell of a batch from now on."""
        with self._lock:
            if self._pid != os.getpid():  # a fork has no threads
                self._pid = os.getpid()
                self._batches.clear()
                self._told.clear()
                threading.Thread(target=self._run, name="cereal_methods", daemon=True).start()
            self._batches[journal.id] = (app, journal, time.monotonic())
            if len(self._batches) == 1:
                self._lock.notify()

    def remove(self, batch_id: str) -> bool:
        """Tell of a batch no more; return whether something was told of it."""
        with self._lock:
            self._batches.pop(batch_id, None)
            return self._told.pop(batch_id, None) is not None

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._batches:
                    self._lock.wait()
                batches = list(self._batches.values())
            for app, journal, since in batches:
                if time.monotonic() - since >= INTERVAL:
                    self._tell(app, journal)
            time.sleep(INTERVAL / 2)

    def _tell(self, app: Any, journal: Journal) -> None:
        ended = len(journal.lines)
        with self._lock:
            if self._told.get(journal.id, 0) == ended or journal.id not in self._batches:
                return
        try:
            app.backend.store_result(progress_id(journal.id), journal.text(), STATE)
        except Exception as error:
            logger.debug("The progress of batch %s could not be stored: %s", journal.id, error)
            return
        finally:
            connections.close_all()  # this thread's, where results are in Django's database
        with self._lock:
            if journal.id in self._batches:
                self._told[journal.id] = ended


publisher: Final = Publisher()


def recorded(backend: Any, batch_id: str) -> tuple[Outcome | None, Events]:
    """Return the outcome of a batch that was delivered again, or else how far it is."""
    try:
        outcome = outcome_of(backend.get_task_meta(batch_id, cache=False)["result"])
        if outcome is not None:
            return outcome, Events()
        text = backend.get_task_meta(progress_id(batch_id), cache=False)["result"]
        return None, Events.read(text) if isinstance(text, str) else Events()
    except Exception as error:
        logger.warning("How far batch %s is could not be looked up: %s", batch_id, error)
        return None, Events()


def await_backend(backend: Any, batch_id: str, patience: float = PATIENCE) -> None:
    """Return when the result backend answers, or is not worth waiting for any longer."""
    until = time.monotonic() + patience
    pause = 0.1
    while True:
        try:
            backend.get_task_meta(batch_id, cache=False)
            return
        except Exception as error:
            if time.monotonic() >= until:
                return
            logger.warning(
                "Batch %s waits for the result backend: %s: %s",
                batch_id,
                type(error).__name__,
                error,
            )
        time.sleep(pause)
        pause = min(pause * 2, 5.0)
