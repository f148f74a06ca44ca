"""The objects among a call's arguments that may hold rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..rows.values import LEAVES


def objects_in(args: list[Any], kwargs: dict[str, Any], rows: Iterable[Any]) -> list[Any]:
    """Return the objects in arguments that may hold rows, in the order of the arguments.

    Decoding a message again gives the same objects in the same order. Lists, tuples and dicts
    are searched and not returned, because rows are replaced within them. ``rows`` are not
    returned either.
    """
    objects: list[Any] = []
    row_ids = set(map(id, rows))
    for value in (*args, *kwargs.values()):
        try:
            objects += _objects(value, row_ids)
        except (RecursionError, _Inseparable):
            objects.append(value)
    return objects


class _Inseparable(Exception):
    """A value's objects have no order, or are keys, so the value is one object as a whole."""


def _objects(value: Any, row_ids: set[int]) -> list[Any]:
    kind = type(value)
    if kind in LEAVES or id(value) in row_ids:
        return []
    if kind is list or kind is tuple:
        return [item for part in value for item in _objects(part, row_ids)]
    if isinstance(value, dict):
        if not all(type(key) in LEAVES for key in value):
            raise _Inseparable
        return [item for part in value.values() for item in _objects(part, row_ids)]
    if kind is not set and kind is not frozenset:
        return [value]
    if any(_objects(part, row_ids) for part in value):
        raise _Inseparable
    return []
