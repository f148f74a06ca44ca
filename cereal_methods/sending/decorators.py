"""Decorators of Python and Django that return something other than a function."""

from __future__ import annotations

import functools
from typing import Any, Final

from django.utils.functional import cached_property

from ..django_api.models import CACHED_FUNCTION

#: The type of what ``functools.lru_cache`` and ``functools.cache`` return.
CACHE: Final = type(functools.lru_cache(len))

#: The types that the decorators return, and the attribute that holds the decorated object.
_DECORATED: Final = {
    classmethod: "__func__",
    staticmethod: "__func__",
    property: "fget",
    functools.cached_property: "func",
    cached_property: CACHED_FUNCTION,
    functools.partialmethod: "func",
    functools.singledispatchmethod: "func",
    CACHE: "__wrapped__",
}


def decorated(attribute: Any) -> Any:
    """Return what one of these decorators was applied to, or None for any other object."""
    for kind, name in _DECORATED.items():
        if issubclass(type(attribute), kind):
            return getattr(attribute, name, None)
    return None


def decorator_name(attribute: Any) -> str:
    """Return the name of the decorator that returned an object: ``cached_property``."""
    kind = type(attribute)
    return "lru_cache" if kind is CACHE else kind.__name__
