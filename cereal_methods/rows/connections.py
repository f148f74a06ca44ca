"""Database connections that died since they were last used.

A process that keeps its connections (``CONN_MAX_AGE``, a pool, a shell, a script) notices that
the server has closed one only when it sends the next query. A fetch only reads, so it is
repeated at once on another connection. Inside a transaction of the caller's it is not, because
the work of the transaction is lost with the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import Error, InterfaceError, OperationalError, connections

from ..django_api.databases import check_pool, is_alive, is_in_transaction, session_of
from ..exceptions import ConnectionLost

T = TypeVar("T")

#: What Django raises if a database is unavailable.
UNAVAILABLE: Final = (OperationalError, InterfaceError)

#: The codes of a server that a failover has demoted to a standby. PostgreSQL:
#: read_only_sql_transaction. MySQL and MariaDB: ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE and
#: ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION.
_READ_ONLY: Final = frozenset({"25006", 1290, 1836, 1792})

#: The codes of a server that is starting, stopping or full, for which some drivers do not raise an
#: OperationalError. PostgreSQL: cannot_connect_now, admin_shutdown, crash_shutdown and
#: too_many_connections. MySQL and MariaDB: ER_CON_COUNT_ERROR and ER_SERVER_SHUTDOWN.
_NOT_SERVING: Final = frozenset({"57P03", "57P01", "57P02", "53300", 1040, 1053})


def error_code(error: BaseException) -> str | int | None:
    """Return the server's code in a database error, or None if the driver does not give it.

    PostgreSQL's codes are strings of five characters, those of MySQL and MariaDB integers.
    """
    cause: Any = error.__cause__ or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)  # psycopg, psycopg2
    if code is None and cause.args and type(cause.args[0]) is int:
        code = cause.args[0]  # mysqlclient, PyMySQL
    return code if isinstance(code, (str, int)) else None


def is_read_only(error: BaseException) -> bool:
    """Whether a server has refused to lock or to write because it is a standby."""
    return isinstance(error, Error) and error_code(error) in _READ_ONLY


def is_unavailable(error: BaseException) -> bool:
    """Whether a database is unavailable now, and may be available later."""
    if isinstance(error, UNAVAILABLE):
        return True
    return isinstance(error, Error) and error_code(error) in _READ_ONLY | _NOT_SERVING


def with_reconnect(using: str, fetch: Callable[[], T]) -> T:
    """Return what ``fetch`` returns. If the connection dies, call it once more on a new one.

    Raises ``ConnectionLost`` if the connection dies inside ``atomic``. Other errors, and those
    of a server that refuses connections, are raised as Django raises them.
    """
    try:
        return fetch()
    except UNAVAILABLE as error:
        _leave_standby(connections[using], error)
        if not _close_dead(connections[using], error):
            raise
    except Error as error:
        _leave_standby(connections[using], error)
        raise
    try:
        return fetch()
    except UNAVAILABLE as error:
        _close_dead(connections[using], error)
        raise


def _leave_standby(connection: Any, error: Exception) -> None:
    """Close a connection to a server that is a standby now: the next may lead to the primary."""
    if is_read_only(error) and not is_in_transaction(connection):
        connection.close()


def _close_dead(connection: Any, error: Exception) -> bool:
    """Close a connection if it has died, and return whether it has.

    Raises ``ConnectionLost`` if it died inside a transaction.
    """
    if not (isinstance(error, ConnectionLost) or has_died(connection)):
        return False
    if not is_in_transaction(connection):
        connection.close()
        check_pool(connection)  # its other connections have probably died too
        return True
    if isinstance(error, ConnectionLost):
        raise error
    raise ConnectionLost(
        f"The connection to the database {connection.alias!r} was lost inside a transaction, while "
        f"rows were fetched: {type(error).__name__}: {error}. The transaction is lost with it. "
        "Leave the atomic block, and run it again from its beginning.",
        connection.alias,
    ) from error


def has_died(connection: Any) -> bool:
    """Whether a connection that was open has died. It may run a query."""
    # Without a session it was never opened, because the server refuses connections.
    return session_of(connection) is not None and not is_alive(connection)
