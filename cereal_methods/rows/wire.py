"""References from what messages and users write: the wire form, the plain form, or a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, router

from ..exceptions import InvalidMessage, UnsupportedKey
from .key_text import key_text
from .key_types import takes_integers
from .keys import clean_key, key_from_wire
from .limits import check_hashes, oversize
from .reference import PLAIN_KEY, ModelReference, QuerySetReference, Reference, single_row
from .values import named_reference


def as_reference(model: type[models.Model], this: Any) -> Reference:
    """Return the reference of a model's row from an instance, a plain form, or a key.

    Raises ``UnsupportedKey`` if ``this`` is not a key of the model either.
    """
    reference = named_reference(this) or reference_from_plain(this)
    if reference is None and isinstance(this, models.Model):
        reference = ModelReference.of(this)
    # A schedule names a row by its key, as JSON has it.
    return single_row(reference) if reference is not None else reference_from_key(model, this)


def reference_from_wire(wire: Any) -> Reference:
    """Return the reference that ``as_wire`` wrote.

    Raises ``InvalidMessage`` if ``wire`` is not the wire form of a reference.
    """
    if isinstance(wire, (list, tuple)) and len(wire) == 3:
        label, key, using = wire
        if isinstance(label, str) and isinstance(using, str):
            return ModelReference(label, key_from_wire(key), using)
    elif is_rows(wire):
        label, keys, using, kind = wire
        has_names = isinstance(label, str) and isinstance(using, str) and kind == "rows"
        if has_names and isinstance(keys, (list, tuple)):
            pks = tuple(map(key_from_wire, keys))
            check_hashes(pks)
            return QuerySetReference(label, pks, using)
    raise InvalidMessage("The message holds a malformed reference.")


def references_from_wire(wires: Sequence[Any]) -> list[Reference]:
    """Return the references of a message.

    Raises ``InvalidMessage`` as ``reference_from_wire`` does, and for keys that were chosen to
    have equal hashes.
    """
    references = list(map(reference_from_wire, wires))
    if len(references) > 1:
        check_hashes([key for reference in references for key in reference.keys])
    return references


def is_rows(wire: Any) -> bool:
    """Whether a wire form has the shape of a ``QuerySetReference``'s."""
    return isinstance(wire, (list, tuple)) and len(wire) == 4


def reference_from_plain(value: Any) -> Reference | None:
    """Return the reference that ``as_plain`` wrote, or None if ``value`` is not a plain form.

    Raises ``InvalidMessage`` if the wire form in it is malformed.
    """
    if type(value) is dict and len(value) == 1 and PLAIN_KEY in value:
        return reference_from_wire(value[PLAIN_KEY])
    return None


def reference_from_key(model: type[models.Model], key: Any) -> ModelReference:
    """Return the reference of a model's row by its primary key, as JSON or Python has it.

    A composite key is a list or a tuple. The database is the one that Django's routers choose
    for writes to the model. Raises ``UnsupportedKey`` if ``key`` is not a key of the model.
    """
    label = model._meta.label
    if (size := oversize(key)) is not None:
        raise UnsupportedKey(f"A primary key of {label} cannot be {size}.", type(key))
    try:
        if key is None or isinstance(key, (bool, float)):
            raise TypeError(f"a {type(key).__name__} is not a key")
        if isinstance(key, (list, dict)):
            key = key_from_wire(key)
        parts = key if isinstance(key, tuple) else (key,)
        for field, part in zip(model._meta.pk_fields, parts, strict=True):
            if takes_integers(field) and not isinstance(part, (int, str)):
                # Django would round a Decimal.
                raise TypeError(f"a {type(part).__name__} is not an integer")
        cleaned = clean_key(model._meta.pk, key)
    except (TypeError, ValueError, ArithmeticError, ValidationError) as error:
        text = f"{key!r:.100}" if isinstance(key, (str, int, float)) else key_text(key)
        raise UnsupportedKey(f"{text} is not a primary key of {label}.", key) from error
    return ModelReference(label, cleaned, router.db_for_write(model))
