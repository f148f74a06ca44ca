"""The types of primary key that a model's fields take, which are checked before a query.

Django converts the key of a query to the field's type, whatever it is. A message may name a
model that has changed the type of its key since, or hold a key that takes long to convert.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ..django_api.models import column_field
from ..exceptions import InvalidMessage
from .key_text import key_text
from .limits import INTEGER_LIMIT

if TYPE_CHECKING:
    from django.db import models

#: The types by what ``get_internal_type`` returns.
_TYPES: Final[Mapping[str, type]] = {
    "AutoField": int,
    "BigAutoField": int,
    "BigIntegerField": int,
    "IntegerField": int,
    "PositiveBigIntegerField": int,
    "PositiveIntegerField": int,
    "PositiveSmallIntegerField": int,
    "SmallAutoField": int,
    "SmallIntegerField": int,
    "CharField": str,
    "GenericIPAddressField": str,
    "SlugField": str,
    "TextField": str,
    "UUIDField": uuid.UUID,
    "DateField": datetime.date,
    "DateTimeField": datetime.datetime,
    "TimeField": datetime.time,
    "DecimalField": decimal.Decimal,
}


def takes_integers(field: Any) -> bool:
    """Whether a field of a primary key is one of Django's fields and holds integers."""
    return _type_of(field) is int


def check_types(model: type[models.Model], keys: Sequence[Any]) -> None:
    """Raise ``InvalidMessage`` for a key of another type than the model's. Runs no query.

    Nothing is hashed, so it is safe to call with any keys.
    """
    types = _types_of(model)
    if len(types) == 1:
        (kind,) = types
        if kind is int:
            for key in keys:
                if type(key) is not int or not -INTEGER_LIMIT < key < INTEGER_LIMIT:
                    raise wrong_key_type(model, [key])
        elif kind is not None:
            for key in keys:
                if type(key) is not kind:
                    raise wrong_key_type(model, [key])
        return
    for key in keys:
        if type(key) is not tuple or len(key) != len(types):
            raise wrong_key_type(model, [key])
        for part, kind in zip(key, types, strict=True):
            if kind is not None and type(part) is not kind:
                raise wrong_key_type(model, [key])


def wrong_key_type(
    model: type[models.Model], keys: Sequence[Any], error: Exception | None = None
) -> InvalidMessage:
    """Return the error for keys that a model's field does not take.

    Of ``error``, which Django has raised, the text has only the type: what Django says quotes
    the key at any length.
    """
    texts = ", ".join(
        f"{key_text(key)!r}" if type(key) is str else key_text(key) for key in keys[:5]
    )
    types = ", ".join(kind.__name__ if kind else "a custom type" for kind in _types_of(model))
    reason = "" if error is None else f" ({type(error).__name__})"
    return InvalidMessage(
        f"A message refers to {model._meta.label} by a primary key of the wrong type: {texts}. "
        f"Expected: {types}{reason}."
    )


@cache
def _types_of(model: type[models.Model]) -> tuple[type | None, ...]:
    """Return the types of the parts of a model's key; None for a field that is not Django's."""
    return tuple(_type_of(field) for field in model._meta.pk_fields)


def _type_of(field: Any) -> type | None:
    field = column_field(field)
    if not type(field).__module__.startswith("django.db.models."):
        return None
    return _TYPES.get(field.get_internal_type())
