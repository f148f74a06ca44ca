"""The table of a body's references, and how a body without any does without one."""

from __future__ import annotations

from typing import Any, Final

from django.db import models

from ..references import ModelReference, QuerySetReference, Reference, reference_of
from ..stand_ins import Row, Rows

#: The key of a reference in a blob of JSON, unless the arguments have it themselves.
MARK: Final = "$ref"

_LEAVES: Final = frozenset({int, str, float, bool, type(None), list, dict})
#: What a reference travels for.
REFERENCED: Final = (models.Model, ModelReference, QuerySetReference, models.QuerySet, Row, Rows)


class Table:
    """The references of a body that is being written, each one once."""

    def __init__(self, mark: str = MARK, *, is_call: bool = True) -> None:
        self.places: dict[Reference, int] = {}
        self.mark = mark
        self.is_call = is_call
        self.marks_written = 0

    def add(self, reference: Reference) -> int:
        """Return the place of a reference."""
        return self.places.setdefault(reference, len(self.places))

    def place_of(self, value: Any) -> int | None:
        """Return the place of what travels for ``value``, or None if that is the value itself."""
        reference = reference_of(value)
        return None if reference is None else self.add(reference)


class NoTable(Table):
    """Takes the place of the table while a body is written that should have no references."""

    def place_of(self, value: Any) -> int | None:
        """Return None. Raises ``ReferenceFound`` where the body needs a table after all."""
        if isinstance(value, REFERENCED):  # nothing is asked of it: a queryset would query
            raise ReferenceFound
        return None


PLAIN_CALL: Final = NoTable(is_call=True)
PLAIN_RESULT: Final = NoTable(is_call=False)


class ReferenceFound(Exception):
    """A body has references, and so it needs a header."""


def have_rows(args: Any, kwargs: Any) -> bool:
    """Tell whether an argument is a row; those within others are found as they are encoded."""
    for value in args or ():
        if type(value) not in _LEAVES and isinstance(value, REFERENCED):
            return True
    for value in kwargs.values() if kwargs else ():
        if type(value) not in _LEAVES and isinstance(value, REFERENCED):
            return True
    return False
