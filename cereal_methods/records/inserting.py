"""Inserting one record, or a thousand, with one statement."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, Final

from django.db import Error, connections

from .models import State, TaskRecord
from .tables import table_errors


@dataclass(slots=True)
class NewRecord:
    """The columns that a record is inserted with. The others are empty until it is sent and run."""

    id: str
    task: str
    created_at: datetime
    send_at: datetime
    expires_at: datetime | None = None
    state: str = State.WAITING
    model: str = ""
    row: str = ""
    turn: int = 0
    envelope: str = ""
    body: bytes = b""


_COLUMNS: Final = tuple(field.name for field in fields(NewRecord))

#: The other columns that may not be null.
_CONSTANTS: Final = {"attempts": "0", "crashes": "0", "error": "''", "traceback": "''"}

#: PostgreSQL's types of the columns that are not varchar.
_TYPES: Final = {
    "created_at": "timestamp with time zone",
    "send_at": "timestamp with time zone",
    "expires_at": "timestamp with time zone",
    "turn": "integer",
    "envelope": "text",
    "body": "bytea",
}

#: The separator between the values of a column that are sent as one text. JSON escapes it, so only
#: a text primary key or an id that the caller has chosen can contain it.
_SEPARATOR: Final = "\x1f"

#: How values are written as text. In a column that may be null, the empty text means NULL.
_AS_TEXT: Final[dict[str, Callable[[Any], str]]] = {
    "created_at": datetime.isoformat,
    "send_at": datetime.isoformat,
    "expires_at": lambda moment: "" if moment is None else moment.isoformat(),
    "turn": str,
    "body": lambda body: b64encode(body).decode("ascii"),
}


def insert(using: str, records: Sequence[NewRecord]) -> None:
    """Insert records with one statement. A task that already has a record keeps it."""
    connection = connections[using]
    try:
        if connection.vendor != "postgresql":
            TaskRecord._base_manager.using(using).bulk_create(
                [TaskRecord(**dict(zip(_COLUMNS, astuple(new), strict=True))) for new in records],
                ignore_conflicts=True,
            )
            return
        with connection.cursor() as cursor:
            columns = _as_columns(records) if len(records) > 1 else None
            if columns is not None:
                cursor.execute(*columns)
                return
            for record in records:
                values = [getattr(record, name) for name in _COLUMNS]
                cursor.execute(_statement_for_one(), values)
    except Error as error:
        raise table_errors(error, using) from error


def _as_columns(records: Sequence[NewRecord]) -> tuple[str, list[Any]] | None:
    """Return a statement that inserts many records, and its parameters.

    A column whose values are all equal is one parameter. The values of any other column are joined
    to one text, because psycopg takes sixty microseconds a record for arrays, which is four times
    what the server takes to insert it. Return None if a value contains the separator.
    """
    constant, varying = {}, {}
    for name in _COLUMNS:
        values = list(map(attrgetter(name), records))
        if name not in ("id", "envelope", "body") and values.count(values[0]) == len(values):
            constant[name] = values[0]
            continue
        as_text = _AS_TEXT.get(name)
        text = _SEPARATOR.join(map(as_text, values) if as_text else values)
        if text.count(_SEPARATOR) != len(values) - 1:
            return None
        varying[name] = text
    return _statement_for_many(tuple(varying)), [*constant.values(), *varying.values()]


@cache
def _statement_for_one() -> str:
    values = ", ".join([*["%s"] * len(_COLUMNS), *_CONSTANTS.values()])
    return f"{_beginning(_COLUMNS)} VALUES ({values}) ON CONFLICT DO NOTHING"


@cache
def _statement_for_many(varying: tuple[str, ...]) -> str:
    constant = tuple(name for name in _COLUMNS if name not in varying)
    values = [f"%s::{_TYPES.get(name, 'varchar')}" for name in constant]
    values += [_from_text(name) for name in varying]
    arrays = ", ".join([f"string_to_array(%s, E'\\x{ord(_SEPARATOR):02x}')"] * len(varying))
    selected = ", ".join([*values, *_CONSTANTS.values()])
    source = f"unnest({arrays}) AS given ({_quoted(varying)})"
    beginning = _beginning(constant + varying)
    return f"{beginning} SELECT {selected} FROM {source} ON CONFLICT DO NOTHING"  # noqa: S608


def _beginning(columns: tuple[str, ...]) -> str:
    return f'INSERT INTO "{TaskRecord._meta.db_table}" ({_quoted((*columns, *_CONSTANTS))})'


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _from_text(name: str) -> str:
    if name == "body":
        return "decode(given.body, 'base64')"
    value = "nullif(given.expires_at, '')" if name == "expires_at" else f'given."{name}"'
    return f"{value}::{_TYPES[name]}" if name in _TYPES else value
