"""The error of a database that has no table of records."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, ProgrammingError

from ..rows.connections import error_code

#: PostgreSQL: undefined_table. MySQL and MariaDB: ER_NO_SUCH_TABLE.
_ABSENT = ("42P01", 1146)


def is_absent(error: BaseException) -> bool:
    """Whether an error says that a table does not exist."""
    if not isinstance(error, Error):
        return False
    return error_code(error) in _ABSENT or "no such table" in str(error)


def table_errors(error: Error, using: str) -> Error | TableMissing:
    """Return the error to raise for an error of the table of records."""
    return TableMissing(using) if is_absent(error) else error


class TableMissing(ImproperlyConfigured, ProgrammingError):
    """A database has no table of records. ``using`` is its alias."""

    def __init__(self, using: str) -> None:
        self.using = using
        super().__init__(
            f"The database {using!r} has no table for durable tasks. Run migrate "
            f"--database {using}, or let your database router write those rows to another database."
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.using,)
