"""Database sessions as a batch's row found them, whatever the rows before it did to them.

A row that runs alone has connections that Celery has closed before, and closes after it. In
a batch they stay open, so what a method leaves behind is noticed and undone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from typing import Any, Final

from django.db import connections

#: Statements that change rows, or none, and leave the session as it is.
_ORDINARY: Final = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|VALUES|SAVEPOINT|RELEASE|ROLLBACK|EXPLAIN|REPLACE"
    r"|MERGE)\b",
    re.IGNORECASE,
)
#: Functions that change the session from within an ordinary one.
_IN_SESSION: Final = re.compile(r"set_config|advisory_lock|get_lock|setseed", re.IGNORECASE)

_READS: Final = re.compile(
    r"\s*(?:SELECT|VALUES|SAVEPOINT|RELEASE|ROLLBACK|EXPLAIN|SHOW)\b", re.IGNORECASE
)
_UPDATE: Final = re.compile(r"\s*UPDATE\b", re.IGNORECASE)
_INSERT: Final = re.compile(r"\s*INSERT\b(?!.*\bON (?:CONFLICT|DUPLICATE)\b)", re.I | re.S)
#: The end of Django's statement that updates one row by its key.
_BY_KEY: Final = re.compile(r'WHERE [`"\w.]+ = %s\s*$')


class Sessions:
    """The connections that a batch's rows use: watched during a row, and put right after it.

    ``tables`` are those that rows fetched ahead come from. What is in a transaction when
    the batch begins, as all rows of a batch that is locked at once, stays in it.
    """

    def __init__(self, tables: Collection[str] = ()) -> None:
        self._tables = [table.lower() for table in tables]
        self._stack = ExitStack()
        self._changed: set[str] = set()
        self._closed: set[str] = set()
        self._kept: set[str] = set()
        self._keys: tuple[Any, ...] = ()
        #: Whether a row has written where others were fetched from.
        self.wrote = False

    def __enter__(self) -> Sessions:
        for connection in connections.all():
            self._stack.enter_context(connection.execute_wrapper(self._note))
            if connection.in_atomic_block:
                self._kept.add(connection.alias)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def begin(self, keys: tuple[Any, ...]) -> None:
        """Watch a row whose key is any of these, as Python and its database have it."""
        self._keys = keys
        for alias in self._closed:
            # Here, so that what is set up in every session is not taken for the row's doing.
            with suppress(Exception):
                connections[alias].ensure_connection()
        self._closed.clear()
        self._changed.clear()
        self.wrote = False

    def restore(self) -> None:
        """Undo what the row has left behind: transactions, and what it has set."""
        for connection in connections.all(initialized_only=True):
            if connection.alias not in self._kept and self._is_changed(connection):
                self._closed.add(connection.alias)
                _close(connection)

    def _is_changed(self, connection: Any) -> bool:
        if connection.in_atomic_block:
            return True
        session = connection.connection
        if session is None:
            return False
        return (
            connection.alias in self._changed
            or connection.autocommit != connection.settings_dict["AUTOCOMMIT"]
            or not connection.autocommit
            or _in_transaction(session)
        )

    def _note(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        text = sql if type(sql) is str else str(sql)
        connection = context["connection"]
        # A transaction of SQLite begins with a statement, and is looked for by itself.
        begins = connection.vendor == "sqlite" and text.startswith("BEGIN")
        if not begins and (not _ORDINARY.match(text) or _IN_SESSION.search(text)):
            self._changed.add(connection.alias)
        if not self.wrote and not _READS.match(text):
            self.wrote = self._concerns_others(text, params)
        return execute(sql, params, many, context)

    def _concerns_others(self, text: str, params: Any) -> bool:
        """Whether a statement may change a row that was fetched ahead, other than its own."""
        if _INSERT.match(text):
            return False
        if _UPDATE.match(text) and _BY_KEY.search(text) and params:
            last = params[-1] if isinstance(params, (list, tuple)) else None
            if last is not None and last in self._keys:
                return False
        lowered = text.lower()
        is_update = _UPDATE.match(text) is not None
        # Deletions cascade, and what else there is may do anything.
        return not is_update or any(table in lowered for table in self._tables)


def _in_transaction(session: Any) -> bool:
    info = getattr(session, "info", None)
    status = getattr(info, "transaction_status", None)  # psycopg; 0 is idle
    if status is not None:
        return bool(status != 0)
    return bool(getattr(session, "in_transaction", False))  # sqlite3


def _close(connection: Any) -> None:
    """Close a connection, whatever state it is in; the next query opens another."""
    session = connection.connection
    connection.in_atomic_block = connection.closed_in_transaction = False
    connection.needs_rollback = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.run_on_commit = []
    with suppress(Exception):
        session.rollback()
    if getattr(connection, "pool", None) is not None:
        # Or the pool would give the session to another.
        with suppress(Exception):
            session.close()
    with suppress(Exception):
        connection.close()
    if connection.connection is not None:  # SQLite in memory stays open
        with suppress(Exception):
            connection.set_autocommit(connection.settings_dict["AUTOCOMMIT"])
