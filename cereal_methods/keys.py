"""Primary keys: how they travel, how large they may be, and which of them a model takes.

A key may come from anybody who can write to the broker. So its size is bounded before
anything computes with it, and its type is compared with the field's before a query: Django
converts what it is given, and ``int(Decimal("1e1000000"))`` takes twenty seconds.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from django.db import models

from .exceptions import InvalidMessage, UnsupportedKey

#: The most decimal digits of an integer or a decimal, and the largest exponent.
MAX_DIGITS: Final = 1000
#: The most characters of a text.
MAX_TEXT: Final = 10_000
#: The most parts of a composite key.
MAX_PARTS: Final = 64

#: The most characters of a key that errors, logs and reprs show.
_SHOWN: Final = 100

#: The most keys of a message that may have one hash. Python does not randomize the hashes of
#: numbers and UUIDs: n keys of one hash cost n * n comparisons.
_MOST_ALIKE: Final = 64

_MAX_BITS: Final = 3322  # of a number of MAX_DIGITS digits
_ORDINARY: Final = 1 << 64  # what integer fields hold

# Integers and strings travel as they are, these types as {tag: text}.
_TAGGED: Final[Mapping[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]]] = {
    uuid.UUID: ("uuid", str, uuid.UUID),
    datetime.datetime: (
        "datetime",
        datetime.datetime.isoformat,
        datetime.datetime.fromisoformat,
    ),
    datetime.date: ("date", datetime.date.isoformat, datetime.date.fromisoformat),
    datetime.time: ("time", datetime.time.isoformat, datetime.time.fromisoformat),
    decimal.Decimal: ("decimal", str, decimal.Decimal),
}
_TAGS: Final = {tag: parse for tag, _, parse in _TAGGED.values()}
_LONGEST_TAGGED: Final = 2 * MAX_DIGITS


def excess(key: Any) -> str | None:
    """Return what makes a key too large to compute with, if anything."""
    if isinstance(key, int):
        if key.bit_length() > _MAX_BITS:
            return f"an integer of {key.bit_length():,} bits"
    elif isinstance(key, (str, bytes, bytearray)):
        if len(key) > MAX_TEXT:
            return f"a text of {len(key):,} characters"
    elif isinstance(key, decimal.Decimal):
        if not key.is_finite():
            return "not a number"
        exponent = int(key.as_tuple().exponent)
        if abs(key.adjusted()) > MAX_DIGITS or key.adjusted() - exponent > MAX_DIGITS:
            return f"a decimal of more than {MAX_DIGITS:,} digits"
    elif isinstance(key, (list, tuple)):
        if len(key) > MAX_PARTS:
            return f"{len(key):,} parts"
        return next(filter(None, map(excess, key)), None)
    return None


def clean_key(field: Any, value: Any) -> Any:
    """Return a primary key in the type of its field, whatever it was assigned as."""
    if isinstance(field, models.CompositePrimaryKey):
        return tuple(clean_key(part, item) for part, item in zip(field.fields, value, strict=True))
    found = excess(value)
    if found is not None:
        raise UnsupportedKey(
            f"A primary key of {field.model._meta.label} is {found}: references carry at most "
            f"{MAX_TEXT:,} characters or {MAX_DIGITS:,} digits.",
            type(value),
        )
    value = field.to_python(value)
    kind = type(value)
    if kind is int or kind is str or kind in _TAGGED:
        return value
    # A subclass (SafeString, an enum's member) or, of a field with a type of its
    # own, what it stores.
    for key in (value, field.get_prep_value(value)):
        if isinstance(key, str):
            return str.__str__(key)
        if isinstance(key, int) and not isinstance(key, bool):
            return int(key)
        if type(key) in _TAGGED:
            return key
    raise UnsupportedKey(
        f"The primary key of {field.model._meta.label} is a {kind.__qualname__}, which "
        "references cannot carry. Integers, strings, UUIDs, dates, times, decimals and "
        "composites of them can be.",
        kind,
    )


def key_to_wire(key: Any) -> Any:
    """Return a primary key as lists, dicts, strings and integers."""
    kind = type(key)
    if kind is int or kind is str:
        return key
    if kind is tuple:
        return [key_to_wire(part) for part in key]
    tag, write, _ = _TAGGED[kind]
    return {tag: write(key)}


def key_from_wire(key: Any) -> Any:
    """Return the primary key that a reference's wire form has.

    Raises ``InvalidMessage`` for what is none, or too large for one.
    """
    kind = type(key)
    if kind is int and -_ORDINARY < key < _ORDINARY:
        return key
    if kind is int or kind is str:
        return _bounded(key)
    if kind is list and len(key) <= MAX_PARTS and not any(type(part) is list for part in key):
        return tuple(map(key_from_wire, key))
    try:
        ((tag, text),) = key.items()
        if type(text) is not str or len(text) > _LONGEST_TAGGED:
            raise ValueError("no text of a key")
        return _bounded(_TAGS[tag](text))
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        raise InvalidMessage("The message holds a primary key that cannot be read.") from None


def _bounded(key: Any) -> Any:
    found = excess(key)
    if found is not None:
        raise InvalidMessage(f"The message holds a primary key that is too large: {found}.")
    return key


def check_spread(keys: Sequence[Any]) -> None:
    """Raise ``InvalidMessage`` for keys that were chosen so that their hashes are equal."""
    if len(keys) <= _MOST_ALIKE:
        return
    for found, count in Counter(map(hash, keys)).items():
        # Rows of several models may have one key, and a row may be named more than once.
        if count > _MOST_ALIKE and _differ(key for key in keys if hash(key) == found):
            raise InvalidMessage(
                "The message holds primary keys that were chosen to take long: their hashes are "
                "equal."
            )


def _differ(keys: Iterable[Any]) -> bool:
    return len({str(key) for key in keys}) > _MOST_ALIKE


_INTEGERS: Final = frozenset(
    {
        "AutoField",
        "BigAutoField",
        "BigIntegerField",
        "IntegerField",
        "PositiveBigIntegerField",
        "PositiveIntegerField",
        "PositiveSmallIntegerField",
        "SmallAutoField",
        "SmallIntegerField",
    }
)
_KINDS: Final[Mapping[str, type]] = {
    **dict.fromkeys(_INTEGERS, int),
    **dict.fromkeys(("CharField", "TextField", "SlugField", "GenericIPAddressField"), str),
    "UUIDField": uuid.UUID,
    "DateField": datetime.date,
    "DateTimeField": datetime.datetime,
    "TimeField": datetime.time,
    "DecimalField": decimal.Decimal,
}


@cache
def _kinds_of(model: type[models.Model]) -> tuple[type | None, ...]:
    """Return the types of the parts of a model's key; None for fields that are not Django's own."""
    return tuple(_kind_of(field) for field in model._meta.pk_fields)


def _kind_of(field: Any) -> type | None:
    while field.remote_field is not None:
        field = field.target_field
    is_own = type(field).__module__.startswith("django.db.models.")
    return _KINDS.get(field.get_internal_type()) if is_own else None


def takes_integers(field: Any) -> bool:
    """Whether a field of a primary key holds integers, and is Django's own."""
    return _kind_of(field) is int


def check_kinds(model: type[models.Model], keys: Sequence[Any]) -> None:
    """Raise ``InvalidMessage`` for keys of another type than the model's, before a query.

    Where keys are many, each is looked at, and nothing is hashed before.
    """
    kinds = _kinds_of(model)
    if len(kinds) == 1:
        (kind,) = kinds
        if kind is int:
            for key in keys:
                if type(key) is not int or not -_ORDINARY < key < _ORDINARY:
                    raise another_type(model, [key])
        elif kind is not None:
            for key in keys:
                if type(key) is not kind:
                    raise another_type(model, [key])
        return
    for key in keys:
        if type(key) is not tuple or len(key) != len(kinds):
            raise another_type(model, [key])
        for part, kind in zip(key, kinds, strict=True):
            if kind is not None and type(part) is not kind:
                raise another_type(model, [key])


def another_type(
    model: type[models.Model], keys: Sequence[Any], error: Exception | None = None
) -> InvalidMessage:
    """Return the error for keys that a model's field does not take."""
    named = ", ".join(f"{shown(key)!r}" if type(key) is str else shown(key) for key in keys[:5])
    wanted = ", ".join(kind.__name__ if kind else "its own" for kind in _kinds_of(model))
    # What Django says quotes what it was given, at any length.
    reason = "" if error is None else f" {type(error).__name__}."
    return InvalidMessage(
        f"A message refers to {model._meta.label} by a primary key of another type: {named}. "
        f"Its type here: {wanted}.{reason}"
    )


def shown(value: Any) -> str:
    """Return a key, a label or an alias for a text: short, and on one line."""
    kind = type(value)
    if kind is int:
        return str(value) if value.bit_length() <= _MAX_BITS else f"<{excess(value)}>"
    if kind is tuple:
        parts = ", ".join(
            repr(shown(part)) if type(part) is str else shown(part) for part in value[:MAX_PARTS]
        )
        return f"({_cut(parts)})"
    text = value if kind is str else str(value)
    if len(text) <= _SHOWN and text.isprintable():
        return text
    # Without the quotes; what is not printable, such as the end of a line, is escaped.
    return _cut(repr(text[:_SHOWN])[1:-1]) + ("" if len(text) <= _SHOWN else "...")


def _cut(text: str) -> str:
    return text if len(text) <= 4 * _SHOWN else f"{text[: 4 * _SHOWN]}..."


def described(value: Any) -> str:
    """Return what kind of value a message has where a key should be, without quoting it."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if type(value) is int:
        return shown(value)
    if isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)):
        return f"a {type(value).__name__} of length {len(value)}"
    return f"a {type(value).__name__}"
