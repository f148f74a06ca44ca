"""The commits that Django's ``TestCase`` prevents."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from ..django_api.databases import (
    count_commit_callbacks,
    open_connections,
    run_commit_callback,
    would_have_committed,
)

logger = logging.getLogger("cereal_methods")


class Commits:
    """The ``on_commit`` callbacks that were added since a moment, in the current thread.

    ``TestCase`` runs each test in a transaction that it rolls back, so callbacks never run.
    When only that transaction is open, the test's own code would have committed, and the
    callbacks can run. Django removes those of a transaction that is rolled back.
    """

    def __init__(self) -> None:
        self._before = {
            connection: count_commit_callbacks(connection) for connection in open_connections()
        }
        self._is_running = False

    def run_callbacks(self) -> None:
        """Run the callbacks whose transaction would have committed; their errors are raised."""
        if self._is_running:  # a callback sends a task, whose recording comes back here
            return
        self._is_running = True
        try:
            for connection in open_connections():
                if would_have_committed(connection):
                    while self._waiting(connection):
                        run_commit_callback(connection, self._start(connection))
        finally:
            self._is_running = False

    def waiting(self) -> Iterator[str]:
        """Yield, for each callback that still waits, the alias of its database."""
        for connection in open_connections():
            for _ in range(self._waiting(connection)):
                yield connection.alias

    def _waiting(self, connection: Any) -> int:
        return max(0, count_commit_callbacks(connection) - self._start(connection))

    def _start(self, connection: Any) -> int:
        return self._before.get(connection, 0)
