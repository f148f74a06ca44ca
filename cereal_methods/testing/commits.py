"""The commits that never come: those inside of the transaction that a test case runs in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.db import connections

logger = logging.getLogger("cereal_methods")


class Commits:
    """What waits for commits since a moment, in the connections of the thread that asks.

    Django's ``TestCase`` holds each test in a transaction that it rolls back.
    Where no other is open, a real transaction would have been committed: what
    waits for that is run, in order. Django itself has removed what waited for a
    transaction that was rolled back.
    """

    def __init__(self) -> None:
        self._before = {
            connection: len(connection.run_on_commit)
            for connection in connections.all(initialized_only=True)
        }
        self._is_running = False

    def come(self) -> None:
        """Run what waits for a commit that would have been. Raises what that raises."""
        if self._is_running:  # what runs here sends tasks, and may ask in turn
            return
        self._is_running = True
        try:
            for connection in connections.all(initialized_only=True):
                if _is_committed(connection):
                    while self._waiting(connection):
                        hooks: list[Any] = connection.run_on_commit
                        _, callback, robust = hooks.pop(self._start(connection))
                        _run(callback, robust)
        finally:
            self._is_running = False

    def waiting(self) -> Iterator[str]:
        """Give the alias of a database for each callback that waits for a commit there."""
        for connection in connections.all(initialized_only=True):
            for _ in self._waiting(connection):
                yield connection.alias

    def _waiting(self, connection: Any) -> list[Any]:
        hooks: list[Any] = connection.run_on_commit
        return hooks[self._start(connection) :]

    def _start(self, connection: Any) -> int:
        return self._before.get(connection, 0)


def _is_committed(connection: Any) -> bool:
    blocks = connection.atomic_blocks
    return (
        bool(blocks)
        and not connection.needs_rollback
        and all(block._from_testcase for block in blocks)
    )


def _run(callback: Any, robust: bool) -> None:
    try:
        callback()
    except Exception as error:
        if not robust:
            raise
        logger.exception("A robust callback of on_commit() failed: %s", error)
