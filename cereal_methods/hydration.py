"""Hydration: references in, fresh instances out, one query per model and database."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Final, TypeAlias

from django.core.exceptions import ValidationError
from django.db import connections, models

from .connections import reconnecting
from .exceptions import UnknownDatabase
from .keys import another_type, check_kinds, shown
from .references import ModelReference, Reference

#: Wrappers as Django's ``connection.execute_wrapper`` takes them, around the queries that
#: fetch rows and around no others. Tests count by them.
wrappers: Final[list[Callable[..., Any]]] = []

#: The most parameters of one query. PostgreSQL takes 65,535 where it binds them itself, and
#: runs out of stack between 10,000 and 80,000 for keys of several columns. Django knows of
#: the limits of SQLite and Oracle.
MOST_PARAMETERS: Final = 10_000


#: Returns the rows of a model in a database that have these primary keys, by their keys.
Query: TypeAlias = Callable[[type[models.Model], str, list[Any]], dict[Any, Any]]


def fetch(reference: ModelReference) -> Any:
    """Return the instance that a reference names, fresh from its database.

    Raises the model's ``DoesNotExist`` if the row is gone, ``UnknownModel`` or
    ``UnknownDatabase`` if this process does not know one of them, ``ConnectionLost``
    if the connection to the database dies inside a transaction.
    """
    return fetch_all([reference])[0]


def fetch_all(
    references: Sequence[Reference],
    known: Mapping[ModelReference, Any] | None = None,
    query: Query | None = None,
    manager: str | None = None,
) -> list[Any]:
    """Return what the references name, in their order, without asking for those ``known``.

    Each pair of model and database costs one query, through the model's base
    manager as in Django's ``refresh_from_db``; one row gives one object however
    often it is named. (More than 10,000 keys take several, and so do fewer where a
    database limits the parameters of a query.) ``query`` asks in another way, by the
    ``manager`` of that name if it has one. Raises what ``fetch`` raises.
    """
    query = query or _query
    one = references[0] if len(references) == 1 and not known else None
    if isinstance(one, ModelReference):  # as most messages have it: it needs no sorting
        model, keys_of_one = one.model, [one.pk]
        check_kinds(model, keys_of_one)
        found = query(model, one.using, keys_of_one)
        if not found:
            raise missing_rows([one], manager)
        return [one.pick(found)]
    named: dict[str, type[models.Model]] = {}
    wanted: dict[tuple[type[models.Model], str], dict[Any, None]] = {}
    for reference in references:
        if reference.label not in named:
            named[reference.label] = reference.model
        # Not by label: a model that was renamed has two.
        check_kinds(named[reference.label], reference.keys)
        keys = wanted.setdefault((named[reference.label], reference.using), {})
        keys.update(dict.fromkeys(reference.keys))
    rows: dict[tuple[type[models.Model], str], dict[Any, Any]] = {}
    # In one order for all, as rows may be locked.
    for (model, using), keys in sorted(wanted.items(), key=_place):
        here = {}
        if known:
            here = {
                reference.pk: row
                for reference, row in known.items()
                if (reference.model, reference.using) == (model, using)
            }
        others = [key for key in keys if key not in here]
        rows[model, using] = {**(query(model, using, others) if others else {}), **here}
    picked: list[Any] = []
    missing: list[ModelReference] = []
    for reference in references:
        found = rows[named[reference.label], reference.using]
        if isinstance(reference, ModelReference) and reference.pk not in found:
            missing.append(reference)
        else:
            picked.append(reference.pick(found))
    if missing:
        raise missing_rows(missing, manager)
    return picked


def _place(
    part: tuple[tuple[type[models.Model], str], dict[Any, None]],
) -> tuple[str, str]:
    (model, using), _ = part
    return using, model._meta.label


def missing_rows(
    references: Sequence[ModelReference], manager: str | None = None
) -> models.ObjectDoesNotExist:
    """Return the ``DoesNotExist`` of the first reference's model, naming all of the rows.

    Its attribute ``references`` holds them for code in the same process.
    """
    distinct = list(dict.fromkeys(references))
    named = [
        f"{ref.label} {shown(ref.pk)} in database {shown(ref.using)!r}" for ref in distinct[:5]
    ]
    if len(distinct) > len(named):
        named.append(f"{len(distinct) - len(named)} more")
    does = "does" if len(distinct) == 1 else "do"
    error: models.ObjectDoesNotExist = distinct[0].model.DoesNotExist(
        f"{', '.join(named)} {does} not exist: deleted after the task was sent, or not "
        "committed yet when the task ran"
        + (f", or not among those of the manager {manager!r}." if manager else ".")
    )
    error.references = distinct  # type: ignore[attr-defined]
    return error


def _query(model: type[models.Model], using: str, keys: list[Any]) -> dict[Any, models.Model]:
    check_database(model, using)
    return reconnecting(using, lambda: rows_of(model._base_manager.using(using), keys))


def check_database(model: type[models.Model], using: str) -> None:
    """Raise ``UnknownDatabase`` if this process has no database of that alias."""
    if using not in connections.settings:
        raise UnknownDatabase(
            f"A message refers to a row of {model._meta.label} in the database {using[:100]!r}, "
            f"which is not in DATABASES here ({', '.join(map(repr, connections))}). Give every "
            "process that sends or runs tasks the same aliases.",
            using,
        )


_NOTHING: Final = nullcontext()


def fetching(using: str) -> AbstractContextManager[Any]:
    """Put the ``wrappers`` around the queries of a block to a database."""
    if not wrappers:
        return _NOTHING
    stack = ExitStack()
    for wrapper in wrappers:
        stack.enter_context(connections[using].execute_wrapper(wrapper))
    return stack


def rows_of(queryset: models.QuerySet[Any], keys: Sequence[Any]) -> dict[Any, models.Model]:
    """Return the rows with these primary keys by their keys, from one query.

    More than ``MOST_PARAMETERS`` take several, and so do keys that the database spells in
    another way than their message does. Raises ``InvalidMessage`` for a key of another type
    than the model's.
    """
    most = MOST_PARAMETERS // len(queryset.model._meta.pk_fields)
    try:
        if len(keys) > most:
            # In one order for all, as rows may be locked, and others may lock them too.
            keys = sorted(keys)
            parts = (keys[start : start + most] for start in range(0, len(keys), most))
            return {key: row for part in parts for key, row in rows_of(queryset, part).items()}
        with fetching(queryset.db):
            if len(keys) == 1:
                return _row_of(queryset, keys[0])
            rows = queryset.in_bulk(keys)
            if len(rows) < len(keys) or not all(key in rows for key in keys):
                _respell(queryset, keys, rows)
            return rows
    except (TypeError, ValueError, ValidationError, ArithmeticError) as error:
        raise another_type(queryset.model, keys, error) from None


def _row_of(queryset: models.QuerySet[Any], key: Any) -> dict[Any, models.Model]:
    found = queryset.filter(pk=key)
    if found.ordered:
        found = found.order_by()
    # The one row that matches has this key, even if its database spells it otherwise.
    return dict(zip([key], found, strict=False))


def _respell(
    queryset: models.QuerySet[Any], keys: Sequence[Any], rows: dict[Any, models.Model]
) -> None:
    """Enter rows under the keys that were asked for, where the database spells them otherwise.

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
            rows.update(_row_of(queryset, key))  # another row, or the same: the database knows
        else:
            left.append(key)
    claimed = {id(rows[key]) for key in wanted if key in rows}
    unclaimed = sum(id(row) not in claimed for row in others.values())
    while left and unclaimed > 0:  # by a rule that the database alone knows
        found = _row_of(queryset, left.pop())
        rows.update(found)
        unclaimed -= len(found)


def _folded(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(map(_folded, key))
    return unicodedata.normalize("NFKC", str(key)).casefold().rstrip()
