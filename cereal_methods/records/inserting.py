"""Inserting records: one statement for one, and one for a thousand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from django.db import Error, connections

from .models import TaskRecord
from .tables import table_errors

#: What a record is inserted with; the other columns say what becomes of it.
_COLUMNS: Final = (
    "id",
    "state",
    "task",
    "model",
    "row",
    "created_at",
    "send_at",
    "expires_at",
    "turn",
    "envelope",
    "body",
)

#: The other columns that may not be null.
_CONSTANTS: Final = {"attempts": "0", "crashes": "0", "error": "''", "traceback": "''"}

#: The types of PostgreSQL's arrays of them.
_TYPES: Final = (
    *("varchar",) * 5,
    *("timestamp with time zone",) * 3,
    "integer",
    "text",
    "bytea",
)


def insert(using: str, records: Sequence[TaskRecord]) -> None:
    """Insert records with one statement. What has a record already keeps the one that it has."""
    connection = connections[using]
    try:
        if connection.vendor != "postgresql":
            TaskRecord._base_manager.using(using).bulk_create(records, ignore_conflicts=True)
            return
        rows = [[getattr(record, name) for name in _COLUMNS] for record in records]
        values: Sequence[Any] = (
            rows[0] if len(rows) == 1 else list(map(list, zip(*rows, strict=True)))
        )
        with connection.cursor() as cursor:
            cursor.execute(_statement(is_one=len(rows) == 1), values)
    except Error as error:
        raise table_errors(error, using) from error


@cache
def _statement(*, is_one: bool) -> str:
    """Return the statement that Django takes several times as long to make."""
    names = ", ".join(f'"{name}"' for name in (*_COLUMNS, *_CONSTANTS))
    constants = ", ".join(_CONSTANTS.values())
    table = TaskRecord._meta.db_table
    if is_one:
        values = f"VALUES ({', '.join(['%s'] * len(_COLUMNS))}, {constants})"
    else:
        arrays = ", ".join(f"%s::{kind}[]" for kind in _TYPES)
        values = f"SELECT *, {constants} FROM unnest({arrays})"  # noqa: S608  (names of this module's)
    return f'INSERT INTO "{table}" ({names}) {values} ON CONFLICT DO NOTHING'
