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
    """Return the connections that this thread has made an object for."""
    # connections.all() makes one for each alias.
    return list(connections.all(initialized_only=True))


def session_of(connection: Any) -> Any | None:
    """Return the driver's own connection, or None if it is not open."""
    # connection.cursor() and ensure_connection() open it.
    return connection.connection


def is_alive(connection: Any) -> bool:
    """Whether the server answers on an open connection; asks it, but for a failed transaction."""
    # Django asks so itself after an error, but only at the beginning of the next request. A
    # PostgreSQL session in a failed transaction refuses every query, and lives.
    if connection.in_atomic_block and connection.vendor == "postgresql":
        return not connection.connection.closed
    return bool(connection.is_usable())


def is_in_transaction(connection: Any) -> bool:
    """Whether a connection is in ``atomic``, or out of autocommit."""
    # transaction.get_autocommit() opens the connection to tell.
    return bool(connection.in_atomic_block or not connection.autocommit)


def in_atomic(connection: Any) -> bool:
    """Whether a connection is in ``atomic``."""
    return bool(connection.in_atomic_block)


def changed_autocommit(connection: Any) -> bool:
    """Whether an open connection is not in autocommit, or not as its settings say."""
    wanted = connection.settings_dict["AUTOCOMMIT"]
    return bool(connection.autocommit != wanted or not connection.autocommit)


def check_pool(connection: Any) -> None:
    """Let a connection's pool, if it has one, drop what has died."""
    # The option "pool" is documented, what Django makes of it is not: psycopg_pool's.
    check = getattr(getattr(connection, "pool", None), "check", None)
    if check is not None:
        check()


def discard_session(connection: Any) -> None:
    """Close a connection, whatever state it is in, and forget its transaction."""
    # connection.close() refuses inside atomic, or puts it off; the callbacks of on_commit would
    # run with the next commit. As in BaseDatabaseWrapper.connect, which sets these when it opens.
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


def has_feature(connection: Any, name: str) -> bool:
    """Whether a database can do something, as ``select_for_update_nowait``."""
    # Else: run the query, and let it fail.
    return bool(getattr(connection.features, f"has_{name}"))


def product_of(connection: Any) -> str:
    """Return the name of a connection's database product for people: ``PostgreSQL``."""
    return str(connection.display_name)


def has_table(connection: Any, name: str) -> bool:
    """Whether a database has a table. Runs a query."""
    return name in connection.introspection.table_names()


def call_before_connections_close(receiver: Callable[..., Any]) -> None:
    """Call a function at the end of each request, before Django closes its connections."""
    # Both are receivers of one signal, which are called in the order in which they were connected.
    is_connected = request_finished.disconnect(close_old_connections)
    request_finished.connect(receiver)
    if is_connected:  # Django's test client disconnects it during a request
        request_finished.connect(close_old_connections)


# Callbacks of transaction.on_commit.


def count_commit_callbacks(connection: Any) -> int:
    """Return how many callbacks wait for a connection's transaction to commit."""
    # TestCase.captureOnCommitCallbacks, which is documented, is a method of test cases.
    return len(connection.run_on_commit)


def remove_last_commit_callback(connection: Any, callback: Callable[[], Any]) -> bool:
    """Remove a callback if it is the last that waits for a commit; tell whether it was."""
    # One callback after all others. Else: one for each, or a scan of those that there are.
    waiting = connection.run_on_commit
    is_last = bool(waiting) and waiting[-1][1] == callback
    if is_last:
        waiting.pop()
    return is_last


def add_lasting_commit_callback(connection: Any, callback: Callable[[], Any]) -> None:
    """Call a callback on commit, even where the savepoint is rolled back in which it was added."""
    # transaction.on_commit drops it with its savepoint.
    connection.run_on_commit.append((set(), callback, True))


def run_commit_callback(connection: Any, place: int) -> None:
    """Take out the callback at a place, and call it as a commit would. Raises what that raises."""
    _, callback, robust = connection.run_on_commit.pop(place)
    _call(callback, robust)


def _call(callback: Callable[[], Any], robust: bool) -> None:
    try:
        callback()
    except Exception as error:
        if not robust:
            raise
        logger.exception("A robust callback of on_commit() failed: %s", error)


def would_have_committed(connection: Any) -> bool:
    """Whether a connection is only in the transactions of a test case, which has not failed."""
    # TestCase marks its own. Else: assume that whatever was open at first is the test case's.
    blocks = connection.atomic_blocks
    return (
        bool(blocks)
        and not connection.needs_rollback
        and all(block._from_testcase for block in blocks)
    )
