"""The rows of a bulk: a queryset, instances or primary keys, and their batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from django.core.exceptions import ValidationError
from django.db import models, router

from ..django_api.models import gives_instances, may_be_ordered, may_repeat_rows
from ..exceptions import InvalidModelTask, UnsupportedKey
from ..rows.keys import clean_key
from ..rows.reference import ModelReference, QuerySetReference
from ..rows.routing import write_database

#: A row's label, primary key and database.
Key: TypeAlias = tuple[str, Any, str]

#: How many keys are read from the database at a time.
_CHUNK: Final = 2000


def checked_rows(task: Any, model: type[models.Model], rows: Any) -> Any:
    """Return the rows of a bulk, which is a queryset or an iterable.

    Raises ``InvalidModelTask`` if they are something else, ``UnsupportedKey`` for a queryset that
    does not return rows.
    """
    if isinstance(rows, models.Manager):
        rows = rows.all()
    if isinstance(rows, models.QuerySet):
        if not issubclass(rows.model, model):
            raise InvalidModelTask(
                f"{task.name} takes rows of {model._meta.label}, and got a queryset of "
                f"{rows.model._meta.label}.",
                task.name,
            )
        if not gives_instances(rows):
            raise UnsupportedKey(
                f"{task.name} takes rows, which a values() or values_list() queryset does not "
                "return. Leave that out, or pass a list of primary keys.",
                rows.model._meta.label,
            )
        return rows
    if isinstance(rows, (str, bytes, Mapping, models.Model)) or not isinstance(rows, Iterable):
        raise InvalidModelTask(
            f"{task.name} takes many rows: a queryset, or an iterable of instances or primary "
            f"keys. It was given {type(rows).__qualname__}. For one row there is delay().",
            task.name,
        )
    return rows


def batches(keys: Iterable[Key], size: int) -> Iterator[QuerySetReference]:
    """Yield the keys ``size`` at a time, each batch of one model and database.

    Batches that are not full come last.
    """
    pending: dict[tuple[str, str], list[Any]] = {}
    for label, key, using in keys:
        batch = pending.setdefault((label, using), [])
        batch.append(key)
        if len(batch) == size:
            yield QuerySetReference(label, tuple(batch), using)
            batch.clear()
    for (label, using), batch in pending.items():
        if batch:
            yield QuerySetReference(label, tuple(batch), using)


def row_keys(model: type[models.Model], rows: Any) -> Iterator[Key]:
    """Yield label, primary key and database of each row, without loading rows.

    Raises ``InvalidModelTask`` for a row of another model, ``UnsupportedKey`` for what is not a
    primary key, and ``UnsavedInstance``.
    """
    if isinstance(rows, models.QuerySet):
        yield from _queryset_keys(rows)
        return
    pk, label, using = model._meta.pk, model._meta.label, router.db_for_write(model)
    for row in rows:
        if isinstance(row, models.Model):
            row = ModelReference.of(row)
        if isinstance(row, ModelReference):
            if not issubclass(row.model, model):
                raise InvalidModelTask(f"{row!r} is not a row of {label}.", label)
            yield row.label, row.pk, row.using
            continue
        try:
            key = clean_key(pk, row)
        except (TypeError, ValueError, ValidationError) as error:
            raise UnsupportedKey(
                f"{row!r} is neither an instance nor a primary key of {label}.", type(row)
            ) from error
        yield label, key, using


def _queryset_keys(queryset: models.QuerySet[Any]) -> Iterator[Key]:
    model = queryset.model
    label, pk, using = model._meta.label, model._meta.pk, write_database(model, queryset.db)
    # A join may return a row twice. Sorted by key, the two come one after the other.
    repeats = may_repeat_rows(queryset)
    by_key = may_be_ordered(queryset)
    if by_key:
        queryset = queryset.order_by("pk")
    seen: set[Any] = set()
    for key in queryset.values_list("pk", flat=True).iterator(chunk_size=_CHUNK):
        if repeats:
            if key in seen:
                continue
            if by_key:
                seen.clear()
            seen.add(key)
        yield label, key if type(key) is int else clean_key(pk, key), using
