"""The lock of a task that runs without a transaction of the library's: its session's."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from django.db import Error, connections

from .taking import key_of

if TYPE_CHECKING:
    from types import TracebackType

    from .deliveries import Delivery


class RunLock:
    """One worker at a time runs a task. PostgreSQL, MySQL and MariaDB have such locks."""

    def __init__(self, delivery: Delivery) -> None:
        self._using = delivery.using
        self._key = key_of(delivery.id)
        #: Whether it is held; without one, the record's state has to do.
        self.holds = False
        self._session: Any = None

    def __enter__(self) -> Self:
        return self

    def acquire(self) -> bool:
        """Tell whether no other worker has the lock, and hold it where there is such a lock."""
        statement = self._statement("pg_try_advisory_lock", "GET_LOCK(%s, 0)")
        if statement is None:
            return True
        connection = connections[self._using]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {statement}", [self._name()])
            (is_free,) = cursor.fetchone()
        self.holds, self._session = bool(is_free), connection.connection
        return self.holds

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection = connections[self._using]
        if not self.holds or connection.connection is not self._session:
            return  # it has ended with its session
        statement = self._statement("pg_advisory_unlock", "RELEASE_LOCK(%s)")
        with suppress(Error), connection.cursor() as cursor:
            cursor.execute(f"SELECT {statement}", [self._name()])

    def _statement(self, on_postgresql: str, on_mysql: str) -> str | None:
        connection = connections[self._using]
        if connection.vendor == "mysql":
            return on_mysql
        # A pooler of transactions has a session for none of its clients.
        pooled = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        if connection.vendor == "postgresql" and not pooled:
            return f"{on_postgresql}(%s)"
        return None

    def _name(self) -> Any:
        if connections[self._using].vendor == "mysql":
            return f"cereal_methods.records:{self._key}"
        return self._key
