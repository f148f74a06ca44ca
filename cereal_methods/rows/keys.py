"""Primary keys as references hold them, and their wire form.

A key is an ``int``, a ``str``, a ``UUID``, a ``date``, a ``datetime``, a ``time``, a
``Decimal``, or a tuple of these for a composite key. In wire form integers and strings stand
for themselves, a tuple is a list, and any other key is ``{tag: text}``.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..django_api.models import key_parts
from ..exceptions import InvalidMessage, UnsupportedKey
from .limits import INTEGER_LIMIT, MAX_DIGITS, MAX_PARTS, MAX_TEXT, check_size, oversize

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
_PARSERS: Final = {tag: parse for tag, _, parse in _TAGGED.values()}
_LONGEST_TAGGED: Final = 2 * MAX_DIGITS


def clean_key(field: Any, value: Any) -> Any:
    """Return a primary key in the type of its field, whatever type it was assigned in.

    Raises ``UnsupportedKey`` if the key exceeds a limit, or if references cannot carry its type.
    """
    if (parts := key_parts(field)) is not None:
        return tuple(clean_key(part, item) for part, item in zip(parts, value, strict=True))
    if (size := oversize(value)) is not None:
        raise UnsupportedKey(
            f"A primary key of {field.model._meta.label} is {size}: references carry at most "
            f"{MAX_TEXT:,} characters or {MAX_DIGITS:,} digits.",
            type(value),
        )
    value = field.to_python(value)
    kind = type(value)
    if kind is int or kind is str or kind in _TAGGED:
        return value
    # A subclass, such as SafeString or an enum's member. A field with a custom type has a key in
    # the value that it stores.
    for key in (value, field.get_prep_value(value)):
        if isinstance(key, str):
            return str.__str__(key)
        if isinstance(key, int) and not isinstance(key, bool):
            return int(key)
        if type(key) in _TAGGED:
            return key
    raise UnsupportedKey(
        f"The primary key of {field.model._meta.label} is a {kind.__qualname__}, which "
        "references cannot carry. They carry integers, strings, UUIDs, dates, times, decimals and "
        "composites of these.",
        kind,
    )


def key_to_wire(key: Any) -> Any:
    """Return the wire form of a primary key: lists, dicts, strings and integers."""
    kind = type(key)
    if kind is int or kind is str:
        return key
    if kind is tuple:
        return [key_to_wire(part) for part in key]
    tag, write, _ = _TAGGED[kind]
    return {tag: write(key)}


def key_from_wire(wire: Any) -> Any:
    """Return the primary key that ``key_to_wire`` wrote.

    Raises ``InvalidMessage`` if ``wire`` is not the wire form of a key, or exceeds a limit.
    """
    kind = type(wire)
    if kind is int and -INTEGER_LIMIT < wire < INTEGER_LIMIT:
        return wire
    if kind is int or kind is str:
        check_size(wire)
        return wire
    if kind is list and len(wire) <= MAX_PARTS and not any(type(part) is list for part in wire):
        return tuple(map(key_from_wire, wire))
    try:
        ((tag, text),) = wire.items()
        if type(text) is not str or len(text) > _LONGEST_TAGGED:
            raise ValueError
        key = _PARSERS[tag](text)
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        raise InvalidMessage("The message holds a primary key that cannot be read.") from None
    check_size(key)
    return key
