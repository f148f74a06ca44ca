"""A batch's arguments, copied for each of its rows."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ...rows.fetch import fetch
from ...rows.reference import ModelReference, QuerySetReference
from ...rows.values import LEAVES, replace_leaves


def copy_for_row(value: Any) -> Any:
    """Return a copy of arguments, with lazy rows in place of references.

    The method and the hooks of one row cannot change the arguments of the next row.
    """
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is ModelReference or kind is QuerySetReference:
        return value.lazy(fetch)
    if kind is dict:
        return {name: copy_for_row(item) for name, item in value.items()}
    if kind is list or kind is tuple:
        return kind(map(copy_for_row, value))
    try:
        return copy.deepcopy(value)
    except Exception:  # a lock cannot be copied, say
        return value


def rows_in(values: Iterable[Any]) -> list[ModelReference]:
    """Return the rows that arguments reference at any depth, each once."""
    references: dict[ModelReference, None] = {}

    def add(leaf: Any) -> None:
        if isinstance(leaf, ModelReference):
            references[leaf] = None
        elif isinstance(leaf, QuerySetReference):
            references.update(dict.fromkeys(leaf.each()))

    for value in values:
        replace_leaves(value, add)
    return list(references)
