"""Rows in the places of what stood for them, and what stands for them in texts and messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from django.db import models

from . import references
from .calls import THIS, alone
from .exceptions import CerealError
from .hydration import fetch
from .keys import shown
from .references import (
    ModelReference,
    QuerySetReference,
    Reference,
    from_plain,
    reference_to,
    replace,
)
from .stand_ins import Row, Rows, is_stand_in, named_by

if TYPE_CHECKING:
    from .calls import Call


class Resolution:
    """Rows in the places of what stood for them: call it with a value to get the value on rows.

    ``rows`` are the instances, or lists of them, by reference.
    """

    def __init__(self, rows: Mapping[Reference, Any], call: Call | None = None) -> None:
        self.rows = rows
        self._made = call.made_on(rows) if call is not None else {}
        # Ids are of use as long as what they are of lives.
        self._call = call

    def __call__(self, value: Any) -> Any:
        """Return a value with rows in it."""
        if type(value) in references.LEAVES:
            return value
        if id(value) in self._made:
            return self._made[id(value)]
        return replace(value, self._row_for)

    def _row_for(self, value: Any) -> Any:
        reference = reference_in(value)
        return self._made.get(id(value)) if reference is None else self.rows.get(reference)

    def origin(self, value: Any) -> Any:
        """Return the reference that a row was fetched for, or None."""
        for reference, row in self.rows.items():
            if row is value:
                return reference
        return None


def reference_in(value: Any) -> Reference | None:
    """Return the reference that a value is, or that it stands for, or None."""
    kind = type(value)
    found: Reference | None = None
    if kind is ModelReference or kind is QuerySetReference:
        found = value
    elif kind is Row or kind is Rows:
        found = named_by(value)
    return found


def reference_for(model: type[models.Model], this: Any) -> Reference:
    """Return the reference of what stands for a model's row: a key, an instance, a plain form.

    Raises ``UnsupportedKey`` for what is none.
    """
    found = reference_in(this) or from_plain(this)
    if found is None and isinstance(this, models.Model):
        found = ModelReference.of(this)
    # A schedule has the key, as JSON does.
    return alone(found) if found is not None else reference_to(model, this)


def show_row(kwargs: Any, model: type[models.Model] | None) -> None:
    """Put a stand-in in the place of whatever names the row that a method runs on."""
    this = kwargs.get(THIS) if isinstance(kwargs, dict) else None
    if this is None or is_stand_in(this):
        return
    own: Any = this
    if type(this) is not ModelReference:
        if model is None:
            return
        try:
            own = reference_for(model, this)
        except CerealError:  # of which the task is told
            return
    if isinstance(own, ModelReference):
        kwargs[THIS] = Row(own, fetch)


def without_stand_ins(value: Any) -> Any:
    """Return a value with references in the place of stand-ins."""
    try:
        return replace(value, reference_in)
    except RecursionError:  # it contains itself
        return value


def for_json(value: Any) -> Any:
    """Return ``value`` as JSON can show it: rows in their plain form, what it lacks as text."""
    return _safely_shown(value, lambda reference: reference.as_plain())


def in_words(value: Any) -> Any:
    """Return ``value`` for a ``repr`` that runs no query: rows as ``<shop.Order 5>``."""
    return _safely_shown(value, repr)


def _safely_shown(value: Any, show_row: Callable[[Reference], Any]) -> Any:
    try:
        return _shown(value, show_row)
    except RecursionError:  # it contains itself
        return type(value)()


def _shown(value: Any, show_row: Callable[[Reference], Any]) -> Any:
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        # Python writes no longer ones in decimals, see sys.set_int_max_str_digits.
        return value if value.bit_length() < 2048 else hex(value)
    reference = reference_in(value)
    if reference is not None:
        return show_row(reference)
    if isinstance(value, models.Model):
        try:
            return show_row(ModelReference.of(value))
        except CerealError:  # the task has deleted it
            return f"<{value._meta.label} {shown(value.pk)}>"
    if isinstance(value, list):
        return [_shown(item, show_row) for item in list.__iter__(value)]
    if isinstance(value, (tuple, set, frozenset)):
        return [_shown(item, show_row) for item in value]
    if isinstance(value, dict):
        return {str(_shown(key, repr)): _shown(item, show_row) for key, item in dict.items(value)}
    return repr(value)
