"""References, instances and lazy rows at any depth of a value, and one in place of another."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from ..exceptions import UnsupportedValue
from .fetch import fetch
from .lazy import LazyRow, LazyRows, is_lazy, lazy_reference
from .reference import ModelReference, QuerySetReference, Reference, reference_of

#: The types of values that contain nothing.
LEAVES: Final = frozenset({int, str, float, bool, bytes, type(None)})


def named_reference(value: Any) -> Reference | None:
    """Return the value if it is a reference, or the reference of a lazy row, or None."""
    kind = type(value)
    if kind is ModelReference or kind is QuerySetReference:
        reference: Reference = value
        return reference
    if kind is LazyRow or kind is LazyRows:
        lazy: Reference = lazy_reference(value)
        return lazy
    return None


def without_lazy_rows(value: Any) -> Any:
    """Return a value with references in place of lazy rows."""
    try:
        return replace_leaves(value, named_reference)
    except RecursionError:  # it contains itself
        return value


def with_lazy_rows(value: Any) -> Any:
    """Return a value with lazy rows in place of instances, querysets and references."""
    return replace_leaves(value, _lazy_row_of)


def _lazy_row_of(value: Any) -> LazyRow | LazyRows | None:
    if is_lazy(value):
        lazy: LazyRow | LazyRows = value
        return lazy
    reference = reference_of(value)
    return None if reference is None else reference.lazy(fetch)


def to_references(value: Any) -> Any:
    """Return ``value`` with references in place of instances and querysets.

    Searches lists, tuples, dicts and sets at any depth. What contains no instance is returned
    as it is, and not copied.

    Raises ``UnsupportedValue`` for data that is nested too deeply or contains itself, and what
    ``reference_of`` raises.
    """
    try:
        return replace_leaves(value, reference_of)
    except RecursionError:
        raise UnsupportedValue(
            "A task's arguments cannot be nested this deeply, or contain themselves."
        ) from None


def replace_leaves(value: Any, replacement: Callable[[Any], Any]) -> Any:
    """Return ``value`` with each leaf replaced for which ``replacement`` does not return None."""
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        items = [
            item if type(item) in LEAVES else replace_leaves(item, replacement) for item in value
        ]
        return value if all(map(operator.is_, items, value)) else kind(items)
    if isinstance(value, dict):
        pairs = {key: replace_leaves(item, replacement) for key, item in value.items()}
        if all(map(operator.is_, pairs.values(), value.values())):
            return value
        if kind is dict:
            return pairs
        copy = value.copy()
        copy.update(pairs)
        return copy
    leaf = replacement(value)
    return value if leaf is None else leaf
