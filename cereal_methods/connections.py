"""Database connections that have died since they were last used.

A process that keeps its connections (``CONN_MAX_AGE``, a pool, a shell, a script)
learns that its server has ended one when it sends the next query. A fetch only
reads, so it can be made again at once, on another connection: but not in a
transaction of the caller's, whose work is lost with the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db import InterfaceError, OperationalError, connections

from .exceptions import ConnectionLost

T = TypeVar("T")

#: What Django raises when a database cannot be asked.
UNAVAILABLE: Final = (OperationalError, InterfaceError)


def reconnecting(using: str, fetch: Callable[[], T]) -> T:
    """Return what ``fetch`` returns; call it once more if the connection died on the way.

    Raises ``ConnectionLost`` where that is inside ``atomic``. An error of another kind,
    or a server that cannot be connected to, is raised as Django raises it.
    """
    try:
        return fetch()
    except UNAVAILABLE as error:
        if not _lost(connections[using], error):
            raise
    try:
        return fetch()
    except UNAVAILABLE as error:
        _lost(connections[using], error)
        raise


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
