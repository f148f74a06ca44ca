"""How deep lists and dicts may be within each other where a body is read."""

from __future__ import annotations

from typing import Any, Final

#: A header with more brackets than this may be nested too deep to be read.
_FLAT: Final = 200
#: How deep lists can be in a header's references: the keys of rows, each with many parts.
_DEPTH: Final = 4

#: How deep a consumer lets lists and dicts be in what it pickles; Python can do some 900 levels.
DEEPEST: Final = 250
_CONTAINERS: Final = frozenset({list, dict, tuple, set})


def is_deep(value: Any) -> bool:
    """Tell whether a value is nested more than ``DEEPEST`` levels deep, or contains itself."""
    level = [value]
    for _ in range(DEEPEST):
        below: dict[int, Any] = {}  # each once: YAML may name one many times
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
    """Tell whether a header's references are nested as those of no sender are."""
    if len(line) <= _FLAT:
        return False
    brackets = line.count("[") + line.count("{")
    return brackets > _FLAT and _goes_below(header.get("refs"), _DEPTH)


def _goes_below(value: Any, levels: int) -> bool:
    if type(value) is dict:
        return any(type(item) in (list, dict) for item in value.values())
    return type(value) is list and (
        levels == 0
        or any(_goes_below(item, levels - 1) for item in value if type(item) in (list, dict))
    )
