"""Database sessions that a batch's row leaves as it found them.

Around a single task Celery closes the connections. Around the rows of a batch they stay open, so
this module undoes what a method leaves behind: open transactions and session settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from typing import Any, Final, Self

from django.db import connections

from ...django_api.databases import (
    changed_autocommit,
    discard_session,
    in_atomic,
    open_connections,
    session_of,
)

#: Statements that do not change the session.
_ORDINARY: Final = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|VALUES|SAVEPOINT|RELEASE|ROLLBACK|EXPLAIN|REPLACE"
    r"|MERGE)\b",
    re.IGNORECASE,
)
#: Functions that change the session, called in such a statement.
_IN_SESSION: Final = re.compile(r"set_config|advisory_lock|get_lock|setseed", re.IGNORECASE)

_READS: Final = re.compile(
    r"\s*(?:SELECT|VALUES|SAVEPOINT|RELEASE|ROLLBACK|EXPLAIN|SHOW)\b", re.IGNORECASE
)
_UPDATE: Final = re.compile(r"\s*UPDATE\b", re.IGNORECASE)
_INSERT: Final = re.compile(r"\s*INSERT\b(?!.*\bON (?:CONFLICT|DUPLICATE)\b)", re.I | re.S)
#: The end of the statement in which Django updates one row by its key.
_BY_KEY: Final = re.compile(r'WHERE [`"\w.]+ = %s\s*$')


class Sessions:
    """The connections of a batch: watched while a row runs, and restored after it.

    ``tables`` are those of the rows that were fetched ahead. A connection that is in a transaction
    when the batch starts, as when all rows are locked together, is left alone.
    """

    def __init__(self, tables: Collection[str] = ()) -> None:
        self._tables = [table.lower() for table in tables]
        self._stack = ExitStack()
        self._changed: set[str] = set()
        self._closed: set[str] = set()
        self._in_transaction: set[str] = set()
        self._keys: tuple[Any, ...] = ()
        #: Whether the row may have changed another row that was fetched ahead.
        self.wrote = False

    def __enter__(self) -> Self:
        for connection in connections.all():
            self._stack.enter_context(connection.execute_wrapper(self._execute))
            if in_atomic(connection):
                self._in_transaction.add(connection.alias)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def watch(self, keys: tuple[Any, ...]) -> None:
        """Watch what the next row does; ``keys`` are the forms of its primary key."""
        self._keys = keys
        for alias in self._closed:
            # Now, or the setup of the new session would count as a change by the row.
            with suppress(Exception):
                connections[alias].ensure_connection()
        self._closed.clear()
        self._changed.clear()
        self.wrote = False

    def restore(self) -> None:
        """Close the connections whose session the row has changed or left in a transaction."""
        for connection in open_connections():
            if connection.alias not in self._in_transaction and self._is_changed(connection):
                self._closed.add(connection.alias)
                discard_session(connection)

    def _is_changed(self, connection: Any) -> bool:
        if in_atomic(connection):
            return True
        session = session_of(connection)
        if session is None:
            return False
        return (
            connection.alias in self._changed
            or changed_autocommit(connection)
            or _in_transaction(session)
        )

    def _execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        text = sql if type(sql) is str else str(sql)
        connection = context["connection"]
        # SQLite starts transactions with a statement; restore() finds those that are open.
        is_begin = connection.vendor == "sqlite" and text.startswith("BEGIN")
        if not is_begin and (not _ORDINARY.match(text) or _IN_SESSION.search(text)):
            self._changed.add(connection.alias)
        if not self.wrote and not _READS.match(text):
            self.wrote = self._may_change_others(text, params)
        return execute(sql, params, many, context)

    def _may_change_others(self, text: str, params: Any) -> bool:
        """Whether a statement may change another row that was fetched ahead."""
        if _INSERT.match(text):
            return False
        if _UPDATE.match(text) and _BY_KEY.search(text) and params:
            key = params[-1] if isinstance(params, (list, tuple)) else None
            if key is not None and key in self._keys:
                return False
        if not _UPDATE.match(text):
            return True  # deletions cascade, and other statements may do anything
        lowered = text.lower()
        return any(table in lowered for table in self._tables)


def _in_transaction(session: Any) -> bool:
    info = getattr(session, "info", None)
    status = getattr(info, "transaction_status", None)  # psycopg; 0 is idle
    if status is not None:
        return bool(status != 0)
    return bool(getattr(session, "in_transaction", False))  # sqlite3
