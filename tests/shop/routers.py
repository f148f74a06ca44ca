"""Database routers of the tests."""

from __future__ import annotations

from typing import Any


class ReplicaRouter:
    """Sends the writes of a row that was read from ``replica`` to its primary."""

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Return the primary of a replica's row, and no opinion otherwise."""
        instance = hints.get("instance")
        return "default" if instance is not None and instance._state.db == "replica" else None

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        """Allow relations across databases: the tests keep them consistent."""
        return True
