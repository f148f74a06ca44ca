"""Hydration: references in, fresh instances out, one query per model and database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, models
from django.utils.connection import ConnectionDoesNotExist

from .exceptions import InvalidMessage, UnknownDatabase
from .references import ModelReference, Reference


def fetch(reference: ModelReference) -> Any:
    """Return the instance that a reference names, fresh from its database.

    Raises the model's ``DoesNotExist`` if the row is gone, ``UnknownModel`` or
    ``UnknownDatabase`` if this process does not know one of them.
    """
    return fetch_all([reference])[0]


def fetch_all(
    references: Sequence[Reference], known: Mapping[ModelReference, Any] | None = None
) -> list[Any]:
    """Return what the references name, in their order, without asking for those ``known``.

    Each pair of model and database costs one query, through the model's base
    manager as in Django's ``refresh_from_db``; one row gives one object however
    often it is named. (A database that limits the parameters of a query gets
    several, as with Django's ``in_bulk``.) Raises what ``fetch`` raises.
    """
    # Not by label: a model that was renamed has two.
    models_by_label = {reference.label: reference.model for reference in references}
    wanted: dict[tuple[type[models.Model], str], dict[Any, None]] = {}
    for reference in references:
        keys = wanted.setdefault((models_by_label[reference.label], reference.using), {})
        keys.update(dict.fromkeys(reference.keys))
    rows: dict[tuple[type[models.Model], str], dict[Any, Any]] = {}
    for (model, using), keys in wanted.items():
        here = {
            reference.pk: row
            for reference, row in (known or {}).items()
            if (reference.model, reference.using) == (model, using)
        }
        others = [key for key in keys if key not in here]
        rows[model, using] = {**(_query(model, using, others) if others else {}), **here}
    rows_of = [rows[models_by_label[ref.label], ref.using] for ref in references]
    missing = [
        reference
        for reference, found in zip(references, rows_of, strict=True)
        if isinstance(reference, ModelReference) and reference.pk not in found
    ]
    if missing:
        raise missing_rows(missing)
    return [reference.pick(found) for reference, found in zip(references, rows_of, strict=True)]


def missing_rows(
    references: Sequence[ModelReference], manager: str | None = None
) -> models.ObjectDoesNotExist:
    """Return the ``DoesNotExist`` of the first reference's model, naming all of the rows.

    Its attribute ``references`` holds them for code in the same process.
    """
    distinct = list(dict.fromkeys(references))
    named = [f"{ref.label} {ref.pk} in database {ref.using!r}" for ref in distinct[:5]]
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
    return rows_of(model._base_manager.using(using), keys)


def check_database(model: type[models.Model], using: str) -> None:
    """Raise ``UnknownDatabase`` if this process has no database of that alias."""
    try:
        connections[using]
    except ConnectionDoesNotExist:
        raise UnknownDatabase(
            f"A message refers to a row of {model._meta.label} in the database {using!r}, which "
            f"is not in DATABASES here ({', '.join(map(repr, connections))}). Give every "
            "process that sends or runs tasks the same aliases.",
            using,
        ) from None


def rows_of(queryset: models.QuerySet[Any], keys: Sequence[Any]) -> dict[Any, models.Model]:
    """Return the rows with these primary keys by their keys, from one query.

    Raises ``InvalidMessage`` for a key of another type than the model's.
    """
    try:
        if len(keys) != 1:
            return queryset.in_bulk(keys)
        # The one row that matches has this key, even if its database spells it otherwise.
        return dict(zip(keys, queryset.filter(pk=keys[0]).order_by(), strict=False))
    except (TypeError, ValueError, ValidationError, ArithmeticError) as error:
        shown = ", ".join(map(repr, keys[:5]))
        raise InvalidMessage(
            f"A message refers to {queryset.model._meta.label} by a primary key of another type: "
            f"{shown}. {type(error).__name__}: {error}"
        ) from error
