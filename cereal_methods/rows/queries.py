"""Queries for rows by their primary keys."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import connections, models

from .key_types import wrong_key_type

#: Wrappers as Django's ``connection.execute_wrapper`` takes them, around the queries that
#: fetch rows and around no others. Tests count by them.
wrappers: Final[list[Callable[..., Any]]] = []

#: The most parameters of one query. PostgreSQL takes 65,535 where it binds them on the server, and
#: runs out of stack between 10,000 and 80,000 for keys of several columns. Django handles the
#: limits of SQLite and Oracle.
MAX_PARAMETERS: Final = 10_000

_NO_WRAPPERS: Final = nullcontext()


def rows_by_key(queryset: models.QuerySet[Any], keys: Sequence[Any]) -> dict[Any, models.Model]:
    """Return the rows with these primary keys, by key. Rows that do not exist are left out.

    Runs one query. More than ``MAX_PARAMETERS`` parameters take several, and so do keys that
    the database spells differently from their message. Raises ``InvalidMessage`` for a key of
    another type than the model's.
    """
    most = MAX_PARAMETERS // len(queryset.model._meta.pk_fields)
    try:
        if len(keys) > most:
            # Sorted, because the rows may be locked: everybody locks them in the same order.
            keys = sorted(keys)
            parts = (keys[start : start + most] for start in range(0, len(keys), most))
            return {key: row for part in parts for key, row in rows_by_key(queryset, part).items()}
        with _wrapped(queryset.db):
            if len(keys) == 1:
                return _row_by_key(queryset, keys[0])
            rows = queryset.in_bulk(keys)
            if len(rows) < len(keys) or not all(key in rows for key in keys):
                _add_other_spellings(queryset, keys, rows)
            return rows
    except (TypeError, ValueError, ValidationError, ArithmeticError) as error:
        raise wrong_key_type(queryset.model, keys, error) from None


def _wrapped(using: str) -> AbstractContextManager[Any]:
    """Return a context manager that puts ``wrappers`` around the queries to a database."""
    if not wrappers:
        return _NO_WRAPPERS
    stack = ExitStack()
    for wrapper in wrappers:
        stack.enter_context(connections[using].execute_wrapper(wrapper))
    return stack


def _row_by_key(queryset: models.QuerySet[Any], key: Any) -> dict[Any, models.Model]:
    rows = queryset.filter(pk=key)
    if rows.ordered:
        rows = rows.order_by()
    # At most one row matches, and it has this key even if the database spells it differently.
    return dict(zip([key], rows, strict=False))


def _add_other_spellings(
    queryset: models.QuerySet[Any], keys: Sequence[Any], rows: dict[Any, models.Model]
) -> None:
    """Add rows under the keys that were asked for where the database spells them differently.

    A collation may ignore case, accents or trailing spaces, and a column of text may have
    become one of UUIDs since the message was sent.
    """
    wanted = set(keys)
    missing = [key for key in wanted if key not in rows]
    others = {_folded(pk): row for pk, row in rows.items() if pk not in wanted}
    twins = {_folded(pk) for pk in rows if type(pk) is str and pk in wanted} if missing else ()
    field: Any = queryset.model._meta.pk
    left = []
    for key in missing:
        row = rows.get(field.to_python(key)) if type(key) is str else None
        row = row or others.get(_folded(key))
        if row is not None:
            rows[key] = row
        elif type(key) is str and _folded(key) in twins:
            # It may be the twin's row or another: only the database can tell.
            rows.update(_row_by_key(queryset, key))
        else:
            left.append(key)
    claimed = {id(rows[key]) for key in wanted if key in rows}
    unclaimed = sum(id(row) not in claimed for row in others.values())
    while left and unclaimed > 0:  # the database matched them by a rule that _folded lacks
        matched = _row_by_key(queryset, left.pop())
        rows.update(matched)
        unclaimed -= len(matched)


def _folded(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(map(_folded, key))
    return unicodedata.normalize("NFKC", str(key)).casefold().rstrip()
