"""Values as JSON and ``repr`` can show them, without a query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db import models

from ..exceptions import CerealError
from .key_text import key_text
from .reference import ModelReference, Reference
from .values import named_reference

#: Python refuses to write longer integers in decimals: see ``sys.set_int_max_str_digits``.
_MAX_DECIMAL_BITS: Final = 2048


def for_json(value: Any) -> Any:
    """Return ``value`` as JSON can show it: rows in plain form, other objects as their repr."""
    return _simplified(value, lambda reference: reference.as_plain())


def for_repr(value: Any) -> Any:
    """Return ``value`` for a ``repr`` that runs no query: rows as ``<shop.Order 5>``."""
    return _simplified(value, repr)


def _simplified(value: Any, row_view: Callable[[Reference], Any]) -> Any:
    try:
        return _view(value, row_view)
    except RecursionError:  # it contains itself
        return type(value)()


def _view(value: Any, row_view: Callable[[Reference], Any]) -> Any:
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        return value if value.bit_length() < _MAX_DECIMAL_BITS else hex(value)
    reference = named_reference(value)
    if reference is not None:
        return row_view(reference)
    if isinstance(value, models.Model):
        try:
            return row_view(ModelReference.of(value))
        except CerealError:  # the task has deleted it
            return f"<{value._meta.label} {key_text(value.pk)}>"
    # The containers of a message's arguments replace __iter__ and items.
    if isinstance(value, list):
        return [_view(item, row_view) for item in list.__iter__(value)]
    if isinstance(value, (tuple, set, frozenset)):
        return [_view(item, row_view) for item in value]
    if isinstance(value, dict):
        return {str(_view(key, repr)): _view(item, row_view) for key, item in dict.items(value)}
    return repr(value)
