"""Fetching: references in, fresh instances out, with one query for each model and database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from django.db import connections, models

from ..exceptions import UnknownDatabase
from .connections import with_reconnect
from .key_text import key_text
from .key_types import check_types
from .queries import rows_by_key
from .reference import ModelReference, Reference

#: Returns the rows of a model in a database that have these primary keys, by key.
Query: TypeAlias = Callable[[type[models.Model], str, list[Any]], dict[Any, Any]]

_Place: TypeAlias = tuple[type[models.Model], str]  # a model, and the alias of a database


def fetch(reference: ModelReference) -> Any:
    """Return the instance that a reference names, fresh from its database.

    Runs one query, through the model's base manager. Raises the model's ``DoesNotExist`` if the
    row is gone, ``UnknownModel`` or ``UnknownDatabase`` if this process does not have the model
    or the alias, ``InvalidMessage`` if the key has another type than the model's, and
    ``ConnectionLost`` if the connection dies inside a transaction.
    """
    return fetch_all([reference])[0]


def fetch_all(
    references: Sequence[Reference],
    fetched: Mapping[ModelReference, Any] | None = None,
    query: Query | None = None,
    manager: str | None = None,
) -> list[Any]:
    """Return what the references name, in their order: an instance, or a list of instances each.

    Each pair of model and database costs one query, through the model's base manager as in
    Django's ``refresh_from_db``. A row is one object however often it is named. More than
    10,000 keys take several queries, and so do fewer if the database limits the parameters of a
    query. ``fetched`` are rows that need no query. ``query`` replaces the query, and ``manager``
    is the name of the manager that it uses, for the error. Raises what ``fetch`` raises.
    """
    query = query or _query
    if len(references) == 1 and not fetched:
        reference = references[0]
        if isinstance(reference, ModelReference):  # most messages have only this one
            model, keys = reference.model, [reference.pk]
            check_types(model, keys)
            rows = query(model, reference.using, keys)
            if not rows:
                raise missing_error([reference], manager)
            return [reference.pick(rows)]
    # By model and not by label, because a model that was renamed has two labels.
    places = _places(references)
    rows_at = _rows_at(places, references, fetched or {}, query)
    values: list[Any] = []
    missing: list[ModelReference] = []
    for place, reference in zip(places, references, strict=True):
        rows = rows_at[place]
        if isinstance(reference, ModelReference) and reference.pk not in rows:
            missing.append(reference)
        else:
            values.append(reference.pick(rows))
    if missing:
        raise missing_error(missing, manager)
    return values


def _places(references: Sequence[Reference]) -> list[_Place]:
    """Return the model and the database of each reference. Raises ``UnknownModel``."""
    models_by_label: dict[str, type[models.Model]] = {}
    for reference in references:
        if reference.label not in models_by_label:
            models_by_label[reference.label] = reference.model
    return [(models_by_label[reference.label], reference.using) for reference in references]


def _rows_at(
    places: Sequence[_Place],
    references: Sequence[Reference],
    fetched: Mapping[ModelReference, Any],
    query: Query,
) -> dict[_Place, dict[Any, Any]]:
    """Return the rows of each place, by key."""
    keys_at: dict[_Place, dict[Any, None]] = {}
    for place, reference in zip(places, references, strict=True):
        check_types(place[0], reference.keys)
        keys_at.setdefault(place, {}).update(dict.fromkeys(reference.keys))
    rows_at: dict[_Place, dict[Any, Any]] = {}
    # Sorted, because the rows may be locked: everybody locks them in the same order.
    for place in sorted(keys_at, key=lambda place: (place[1], place[0]._meta.label)):
        model, using = place
        rows = {
            reference.pk: row
            for reference, row in fetched.items()
            if (reference.model, reference.using) == place
        }
        missing = [key for key in keys_at[place] if key not in rows]
        rows_at[place] = {**(query(model, using, missing) if missing else {}), **rows}
    return rows_at


def missing_error(
    references: Sequence[ModelReference], manager: str | None = None
) -> models.ObjectDoesNotExist:
    """Return the ``DoesNotExist`` of the first reference's model. It names up to five rows.

    Its attribute ``references`` holds all of them for code in the same process.
    """
    distinct = list(dict.fromkeys(references))
    texts = [
        f"{reference.label} {key_text(reference.pk)} in database {key_text(reference.using)!r}"
        for reference in distinct[:5]
    ]
    if len(distinct) > len(texts):
        texts.append(f"{len(distinct) - len(texts)} more")
    does = "does" if len(distinct) == 1 else "do"
    error: models.ObjectDoesNotExist = distinct[0].model.DoesNotExist(
        f"{', '.join(texts)} {does} not exist: deleted after the task was sent, or not "
        "committed yet when the task ran"
        + (f", or hidden by the manager {manager!r}." if manager else ".")
    )
    error.references = distinct  # type: ignore[attr-defined]
    return error


def _query(model: type[models.Model], using: str, keys: list[Any]) -> dict[Any, models.Model]:
    check_database(model, using)
    return with_reconnect(using, lambda: rows_by_key(model._base_manager.using(using), keys))


def check_database(model: type[models.Model], using: str) -> None:
    """Raise ``UnknownDatabase`` if this process has no database of that alias."""
    if using not in connections:
        raise UnknownDatabase(
            f"A message refers to a row of {model._meta.label} in the database {using[:100]!r}, "
            f"which is not in DATABASES here ({', '.join(map(repr, connections))}). Give every "
            "process that sends or runs tasks the same aliases.",
            using,
        )
