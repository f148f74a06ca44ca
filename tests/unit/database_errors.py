"""Errors as databases in a failover raise them, and others."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, InternalError, NotSupportedError, OperationalError


def as_raised(kind: type[Exception], *args: Any, **attributes: Any) -> Exception:
    """Return a database error as Django raises it, with the driver's error as its cause."""
    cause = Exception(*args)
    vars(cause).update(attributes)
    error = kind(*args)
    error.__cause__ = cause
    return error


#: Of a server that is a standby.
READ_ONLY = [
    as_raised(InternalError, "cannot execute ... in a read-only transaction", sqlstate="25006"),
    as_raised(InternalError, "cannot execute ... in a read-only transaction", pgcode="25006"),
    as_raised(OperationalError, 1290, "running with the --read-only option"),
    as_raised(InternalError, 1836, "Running in read-only mode"),
    as_raised(DatabaseError, 1792, "Cannot execute statement in a READ ONLY transaction."),
]

#: Of a server that is starting, full or unreachable.
NOT_SERVING = [
    as_raised(OperationalError, "the database system is starting up", sqlstate="57P03"),
    as_raised(DatabaseError, "the database system is starting up", pgcode="57P03"),
    as_raised(DatabaseError, "sorry, too many clients already", sqlstate="53300"),
    as_raised(InternalError, 1040, "Too many connections"),
    OperationalError("connection refused"),
]

#: Of a server that is available.
OTHERS = [
    as_raised(DatabaseError, "syntax error", sqlstate="42601"),
    as_raised(DatabaseError, "syntax error", pgcode="42601"),
    as_raised(DatabaseError, 1064, "You have an error in your SQL syntax"),
    as_raised(DatabaseError, "25006"),
    NotSupportedError("no"),
    ValueError(25006),
]
