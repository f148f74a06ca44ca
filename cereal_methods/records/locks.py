"""The lock of a running task with ``atomic=False``, which belongs to a database session."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from django.db import Error, connections

from .taking import key_of

if TYPE_CHECKING:
    from .deliveries import Delivery

logger = logging.getLogger("cereal_methods")


class RunLock:
    """Lets one worker at a time run a task, on PostgreSQL, MySQL and MariaDB."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._using = delivery.using
        self._key = key_of(delivery.id)
        #: Whether this worker holds the lock. Other databases rely on the record's state.
        self.holds = False
        self._session: Any = None

    def __enter__(self) -> Self:
        return self

    def acquire(self) -> bool:
        """Take the lock if the database has one; return False if another worker holds it."""
        statement = self._statement("pg_try_advisory_lock", "GET_LOCK(%s, 0)")
        if statement is None:
            return True
        connection = connections[self._using]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {statement}", [self._name()])
            (is_free,) = cursor.fetchone()
        self.holds, self._session = bool(is_free), connection.connection
        return self.holds

    def __exit__(self, *raised: object) -> None:
        connection = connections[self._using]
        if not self.holds or connection.connection is not self._session:
            return  # the lock ended with its session
        statement = self._statement("pg_advisory_unlock", "RELEASE_LOCK(%s)")
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute(f"SELECT {statement}", [self._name()])
            (was_held,) = cursor.fetchone()
            if not was_held:
                logger.error(
                    "%s ran without its lock, because sessions of the database %r are shared. Set "
                    "DISABLE_SERVER_SIDE_CURSORS for a database behind PgBouncer.",
                    self._delivery,
                    self._using,
                )

    def _statement(self, on_postgresql: str, on_mysql: str) -> str | None:
        connection = connections[self._using]
        if connection.vendor == "mysql":
            return on_mysql
        # A pooler such as PgBouncer gives each transaction another session.
        is_pooled = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        if connection.vendor == "postgresql" and not is_pooled:
            return f"{on_postgresql}(%s)"
        return None

    def _name(self) -> Any:
        if connections[self._using].vendor == "mysql":
            return f"cereal_methods.records:{self._key}"
        return self._key
