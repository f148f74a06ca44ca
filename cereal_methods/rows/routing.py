"""The database that Django's routers choose for writes to a row."""

from __future__ import annotations

from typing import Any

from django.db import models, router

from ..django_api.models import key_parts, made_instance


def write_database(model: type[models.Model], read_from: str) -> str:
    """Return the alias of the database for writes to rows that were read from another.

    Routers may decide by the database that an instance was read from. They get an instance
    without fields.
    """
    return router.db_for_write(model, instance=_bare_instance(model, read_from))


def queryset_write_database(queryset: models.QuerySet[Any], pks: tuple[Any, ...]) -> str:
    """Return the alias of the database for writes to a queryset's rows, which have these keys.

    Routers get an instance that has only the first key, so this runs no query.
    """
    model = queryset.model
    if not pks:
        return router.db_for_write(model)
    return router.db_for_write(model, instance=_bare_instance(model, queryset.db, pks[0]))


def _bare_instance(model: type[models.Model], read_from: str, key: Any = None) -> models.Model:
    """Return an instance with at most its key, as if it had been read from a database."""
    parts = key_parts(model._meta.pk)
    fields: Any = [model._meta.pk] if parts is None else parts
    keys = [key] * len(fields) if parts is None or key is None else key
    # Without a key the field is None: if it were deferred, Django would query for it.
    values = {field.attname: value for field, value in zip(fields, keys, strict=True)}
    instance: models.Model = made_instance(model, values, read_from)
    return instance
