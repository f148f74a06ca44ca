"""How deeply lists and dicts may be nested where a body is read."""

from __future__ import annotations

from typing import Any, Final

#: A header line with at most this many characters or brackets cannot be nested too deeply.
_SHORT: Final = 200
#: The most levels of a header's references: rows, their keys, and the parts of a key.
_MAX_REFERENCE_DEPTH: Final = 4

#: The most levels of what a consumer pickles into its pool. Python can pickle some 900.
DEEPEST: Final = 250
_CONTAINERS: Final = frozenset({list, dict, tuple, set})


def is_deep(value: Any) -> bool:
    """Whether a value is nested more than ``DEEPEST`` levels deep, or contains itself."""
    level = [value]
    for _ in range(DEEPEST):
        below: dict[int, Any] = {}  # by id, because YAML may name a value many times
        for container in level:
            items = container.values() if type(container) is dict else container
            if not _CONTAINERS.isdisjoint(map(type, items)):
                for item in items:
                    if type(item) in _CONTAINERS:
                        below[id(item)] = item
        if not below:
            return False
        level = list(below.values())
    return True


def is_too_deep(line: str, header: dict[str, Any]) -> bool:
    """Whether a header's references are nested more deeply than any sender writes them."""
    if len(line) <= _SHORT:
        return False
    brackets = line.count("[") + line.count("{")
    return brackets > _SHORT and _goes_below(header.get("refs"), _MAX_REFERENCE_DEPTH)


def _goes_below(value: Any, levels: int) -> bool:
    if type(value) is dict:
        return any(type(item) in (list, dict) for item in value.values())
    return type(value) is list and (
        levels == 0
        or any(_goes_below(item, levels - 1) for item in value if type(item) in (list, dict))
    )
