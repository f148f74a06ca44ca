"""The table of a body's references, and how a body without references is written without one."""

from __future__ import annotations

from typing import Any, Final

from django.db import models

from ..rows.lazy import LazyRow, LazyRows
from ..rows.reference import ModelReference, QuerySetReference, Reference, reference_of

#: The key of a reference in ``cereal-json``, unless the user's data has that key too.
MARK: Final = "$ref"

_LEAVES: Final = frozenset({int, str, float, bool, type(None), list, dict})

#: The types of values in whose place a reference travels.
REFERENCED: Final = (
    models.Model,
    ModelReference,
    QuerySetReference,
    models.QuerySet,
    LazyRow,
    LazyRows,
)


class Table:
    """The references of a body that is being written, each once.

    ``places`` are the positions of the references. ``is_call`` tells whether the body is a
    call's and not a result's, ``marks_written`` how often a reference was written.
    """

    def __init__(self, mark: str = MARK, *, is_call: bool = True) -> None:
        self.places: dict[Reference, int] = {}
        self.mark = mark
        self.is_call = is_call
        self.marks_written = 0

    def add(self, reference: Reference) -> int:
        """Add a reference, unless the table has it, and return its position."""
        return self.places.setdefault(reference, len(self.places))

    def place_of(self, value: Any) -> int | None:
        """Return the position of the value's reference, or None if the value itself travels."""
        reference = reference_of(value)
        return None if reference is None else self.add(reference)


class NoTable(Table):
    """What an encoder gets in place of a table while a body seems to have no references."""

    def place_of(self, value: Any) -> int | None:
        """Return None. Raises ``ReferenceFound`` if the body needs a table after all."""
        if isinstance(value, REFERENCED):  # by type alone: a queryset's reference takes a query
            raise ReferenceFound
        return None


PLAIN_CALL: Final = NoTable(is_call=True)
PLAIN_RESULT: Final = NoTable(is_call=False)


class ReferenceFound(Exception):
    """A body has references, so it is written again with a header line."""


def have_rows(args: Any, kwargs: Any) -> bool:
    """Whether an argument is a row. Rows within other arguments are found while encoding."""
    for value in args or ():
        if type(value) not in _LEAVES and isinstance(value, REFERENCED):
            return True
    for value in kwargs.values() if kwargs else ():
        if type(value) not in _LEAVES and isinstance(value, REFERENCED):
            return True
    return False
