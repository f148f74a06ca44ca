"""Database connections that have died since they were last used.

A process that keeps its connections (``CONN_MAX_AGE``, a pool, a shell, a script)
learns that its server has ended one when it sends the next query. A fetch only
reads, so it can be made again at once, on another connection: but not in a
transaction of the caller's, whose work is lost with the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections

from .exceptions import ConnectionLost

T = TypeVar("T")

#: What Django raises when a database cannot be asked.
UNAVAILABLE: Final = (OperationalError, InterfaceError)

#: What a server says that was demoted in a failover. PostgreSQL: read_only_sql_transaction. MySQL
#: and MariaDB: ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE and
#: ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION.
_READ_ONLY: Final = frozenset({"25006", 1290, 1836, 1792})

#: What a server says that is starting, stopping or full, where a driver takes it for something
#: else than an OperationalError. PostgreSQL: cannot_connect_now, admin_shutdown, crash_shutdown and
#: too_many_connections. MySQL and MariaDB: ER_CON_COUNT_ERROR and ER_SERVER_SHUTDOWN.
_AWAY: Final = frozenset({"57P03", "57P01", "57P02", "53300", 1040, 1053})


def code_of(error: BaseException) -> str | int | None:
    """Return the server's code of a database's error, where its driver has it, if anywhere."""
    cause: Any = error.__cause__ or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)  # psycopg, psycopg2
    if code is None and cause.args and type(cause.args[0]) is int:
        code = cause.args[0]  # mysqlclient, PyMySQL
    return code if isinstance(code, (str, int)) else None


def is_read_only(error: BaseException) -> bool:
    """Whether a database has refused to lock or to write, since it is a standby."""
    return isinstance(error, Error) and code_of(error) in _READ_ONLY


def is_unavailable(error: BaseException) -> bool:
    """Whether a database cannot be asked now, and perhaps can later."""
    if isinstance(error, UNAVAILABLE):
        return True
    return isinstance(error, Error) and code_of(error) in _READ_ONLY | _AWAY


def reconnecting(using: str, fetch: Callable[[], T]) -> T:
    """Return what ``fetch`` returns; call it once more if the connection died on the way.

    Raises ``ConnectionLost`` where that is inside ``atomic``. An error of another kind,
    or a server that cannot be connected to, is raised as Django raises it.
    """
    try:
        return fetch()
    except UNAVAILABLE as error:
        _leave_standby(connections[using], error)
        if not _lost(connections[using], error):
            raise
    except Error as error:
        _leave_standby(connections[using], error)
        raise
    try:
        return fetch()
    except UNAVAILABLE as error:
        _lost(connections[using], error)
        raise


def _leave_standby(connection: Any, error: Exception) -> None:
    """Close a connection to what has become a standby: the next may lead to the primary."""
    if is_read_only(error) and connection.autocommit and not connection.in_atomic_block:
        connection.close()


def _lost(connection: Any, error: Exception) -> bool:
    """Tell whether a connection has died, and close it; raise where that ends a transaction."""
    if not (isinstance(error, ConnectionLost) or _has_died(connection)):
        return False
    if connection.autocommit and not connection.in_atomic_block:
        connection.close()
        # The others of a pool have died with it, and the next could be one of them.
        check_all = getattr(getattr(connection, "pool", None), "check", None)
        if check_all is not None:
            check_all()
        return True
    if isinstance(error, ConnectionLost):
        raise error
    raise ConnectionLost(
        f"The connection to the database {connection.alias!r} was lost inside a transaction, as "
        f"rows were fetched: {type(error).__name__}: {error}. It is not opened again there: what "
        "the transaction did before is lost with it. Leave the transaction (atomic) and run all "
        "of it again.",
        connection.alias,
    ) from error


def _has_died(connection: Any) -> bool:
    session = connection.connection
    if session is None:  # it could not be opened: the server is away
        return False
    if connection.in_atomic_block and connection.vendor == "postgresql":
        # It refuses every query of a transaction that has failed: that is no death.
        return bool(session.closed)
    return not connection.is_usable()
