"""Django's settings and databases: connections, transactions, sessions; see the package."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from django.core.signals import request_finished

# The home of django.test.signals.setting_changed, which is documented, and imports django.test.
from django.core.signals import setting_changed as setting_changed
from django.db import close_old_connections, connections

logger: Final = logging.getLogger("cereal_methods")


def open_connections() -> list[Any]:
    """Return the connection objects that this thread has created."""
    # connections.all() creates one for each alias.
    return list(connections.all(initialized_only=True))


def session_of(connection: Any) -> Any | None:
    """Return the driver's own connection, or None if it is not open."""
    # connection.cursor() and ensure_connection() would open it.
    return connection.connection


def is_alive(connection: Any) -> bool:
    """Whether the server answers on an open connection. Runs a query, if a query can run."""
    # Django runs it after an error, but only at the beginning of the next request. On PostgreSQL a
    # session in a failed transaction is alive, but refuses every query.
    if connection.in_atomic_block and connection.vendor == "postgresql":
        return not connection.connection.closed
    return bool(connection.is_usable())


def is_in_transaction(connection: Any) -> bool:
    """Whether a connection is in ``atomic``, or not in autocommit mode."""
    # transaction.get_autocommit() would open the connection.
    return bool(connection.in_atomic_block or not connection.autocommit)


def in_atomic(connection: Any) -> bool:
    """Whether a connection is in ``atomic``."""
    return bool(connection.in_atomic_block)


def changed_autocommit(connection: Any) -> bool:
    """Whether an open connection is not in autocommit mode, or differs from its settings."""
    configured = connection.settings_dict["AUTOCOMMIT"]
    return bool(connection.autocommit != configured or not connection.autocommit)


def check_pool(connection: Any) -> None:
    """Let a connection's pool, if it has one, discard dead sessions."""
    # The option "pool" is documented, but not the attribute, which is psycopg_pool's pool.
    check = getattr(getattr(connection, "pool", None), "check", None)
    if check is not None:
        check()


def discard_session(connection: Any) -> None:
    """Close a connection in any state, and forget its transaction."""
    # Inside atomic, connection.close() raises an error or closes later, and the callbacks of
    # on_commit would run at the next commit. BaseDatabaseWrapper.connect sets the same attributes.
    session = connection.connection
    connection.in_atomic_block = connection.closed_in_transaction = False
    connection.needs_rollback = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.run_on_commit = []
    with suppress(Exception):
        session.rollback()
    if getattr(connection, "pool", None) is not None:
        # Otherwise the pool would give the session to another thread.
        with suppress(Exception):
            session.close()
    with suppress(Exception):
        connection.close()
    if connection.connection is not None:  # SQLite in memory stays open
        with suppress(Exception):
            connection.set_autocommit(connection.settings_dict["AUTOCOMMIT"])


def has_feature(connection: Any, name: str) -> bool:
    """Whether a database has a feature, such as ``select_for_update_nowait``."""
    # Else: run the query, and let it fail.
    return bool(getattr(connection.features, f"has_{name}"))


def product_of(connection: Any) -> str:
    """Return the name of a connection's database product, such as ``PostgreSQL``."""
    return str(connection.display_name)


def has_table(connection: Any, name: str) -> bool:
    """Whether a database has a table. Runs a query."""
    return name in connection.introspection.table_names()


def call_before_connections_close(receiver: Callable[..., Any]) -> None:
    """Call a function at the end of each request, before Django closes its connections."""
    # Receivers of a signal are called in the order in which they were connected.
    is_connected = request_finished.disconnect(close_old_connections)
    request_finished.connect(receiver)
    if is_connected:  # Django's test client disconnects it during a request
        request_finished.connect(close_old_connections)


# Callbacks of transaction.on_commit.


def count_commit_callbacks(connection: Any) -> int:
    """Return how many callbacks wait for a connection's transaction to commit."""
    # The documented TestCase.captureOnCommitCallbacks needs a test case.
    return len(connection.run_on_commit)


def remove_last_commit_callback(connection: Any, callback: Callable[[], Any]) -> bool:
    """Remove a callback if it is the last that waits for a commit; return whether it was."""
    # So that one callback stays the last. Else: add one for each message.
    waiting = connection.run_on_commit
    is_last = bool(waiting) and waiting[-1][1] == callback
    if is_last:
        waiting.pop()
    return is_last


def add_lasting_commit_callback(connection: Any, callback: Callable[[], Any]) -> None:
    """Call a callback on commit, even if the savepoint in which it was added is rolled back."""
    # transaction.on_commit discards the callback together with its savepoint.
    connection.run_on_commit.append((set(), callback, True))


def run_commit_callback(connection: Any, position: int) -> None:
    """Remove the callback at a position, and call it as a commit would. Raises its errors."""
    _, callback, robust = connection.run_on_commit.pop(position)
    _call(callback, robust)


def _call(callback: Callable[[], Any], robust: bool) -> None:
    try:
        callback()
    except Exception as error:
        if not robust:
            raise
        logger.exception("A robust callback of on_commit() failed: %s", error)


def in_test_case(connection: Any) -> bool:
    """Whether a connection is in a transaction of a test case."""
    # TestCase marks its transactions. Else: let tests count fewer callbacks than messages.
    blocks = connection.atomic_blocks
    return bool(blocks and blocks[0]._from_testcase)


def would_have_committed(connection: Any) -> bool:
    """Whether a connection is only in the transactions of a test case, and none has failed."""
    # TestCase marks its transactions. Else: assume that those open at first are the test case's.
    blocks = connection.atomic_blocks
    return (
        bool(blocks)
        and not connection.needs_rollback
        and all(block._from_testcase for block in blocks)
    )
