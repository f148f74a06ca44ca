"""The rows of a batch that are fetched ahead of their turn: a few, and for a second at most."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from django.db import connections, models
from django.db.models.base import ModelState

from .connections import UNAVAILABLE
from .exceptions import CerealError
from .hydration import fetch_all
from .references import LEAVES, ModelReference

if TYPE_CHECKING:
    from .policies import RowPolicy

logger = logging.getLogger("cereal_methods")

#: No row is older than so many seconds when its method begins.
AGE: Final = 1.0

#: How many rows are fetched before it is known how many are done in that time.
_FIRST: Final = 500

#: Instances of this many other rows at most are copied for each row rather than fetched.
_MOST_SHARED: Final = 20


class Window:
    """Rows fetched ahead: as many with one query as were done in the last second."""

    def __init__(
        self, policy: RowPolicy, references: Sequence[ModelReference], others: Sequence[Any] = ()
    ) -> None:
        self._policy = policy
        self._references = references
        self._others = others if len(others) <= _MOST_SHARED else ()
        self._rows: dict[Any, Any] = {}
        self._shared: dict[ModelReference, Any] = {}
        self._until = 0  # the first position that is not in it
        self._fetched_at = 0.0
        self._next = _FIRST
        self._done = 0  # rows since the last query
        self._age = AGE

    def has(self, position: int) -> bool:
        """Tell whether a row is at hand, without a query."""
        return position < self._until and time.monotonic() - self._fetched_at < self._age

    def drop(self) -> None:
        """Forget the rows, of which another has changed some."""
        if self._until:
            self._next = max(1, self._done)
            self._until = 0

    def take(self, position: int) -> dict[ModelReference, Any]:
        """Return what was fetched for a row: itself, and the others in its arguments.

        What is not in it is left to the row's own fetch. Raises what says that the
        database is unavailable.
        """
        if not self.has(position):
            self._fetch(position)
        self._done += 1
        reference = self._references[position]
        ahead = {each: _copy_of(row) for each, row in self._shared.items()}
        row = self._rows.pop(reference.pk, None)
        if row is not None and row.pk is not None:
            ahead[reference] = row
        return ahead

    def lock(self, keys: Sequence[Any]) -> None:
        """Fetch and lock all rows, which stay as they are however long that takes."""
        self._age = float("inf")
        self._rows, self._shared = self.query(keys), self.shared()
        self._until, self._fetched_at = len(self._references), time.monotonic()

    def _fetch(self, position: int) -> None:
        took = time.monotonic() - self._fetched_at
        if self._until:  # it has grown old, or all of it was taken
            self._next = max(1, int(self._done * AGE / max(took, 1e-6)))
        while True:
            keys = [each.pk for each in self._references[position : position + self._next]]
            self._fetched_at = time.monotonic()
            self._done = 0
            self._rows = self.query(keys)
            self._shared = self.shared()
            self._until = position + len(keys)
            if len(keys) == 1 or time.monotonic() - self._fetched_at < AGE / 2:
                return
            self._next = max(1, len(keys) // 10)

    def query(self, keys: Sequence[Any]) -> dict[Any, Any]:
        """Return the rows with these keys, by the task's policy."""
        first = self._references[0]
        try:
            return self._policy._query(first.model, first.using, list(keys))
        except CerealError as error:
            if isinstance(error, UNAVAILABLE):
                raise
            return {}  # each row tells its own

    def shared(self) -> dict[ModelReference, Any]:
        """Return the other rows that the arguments name, if all are there."""
        if not self._others:
            return {}
        try:
            return dict(zip(self._others, fetch_all(self._others), strict=True))
        except UNAVAILABLE:
            raise
        except Exception:  # each row tells its own
            return {}


def tables_of(policy: RowPolicy, references: Sequence[ModelReference]) -> set[str]:
    """Return the tables that rows and others are read from; more than needed does no harm."""
    found: set[str] = set()
    for label in {reference.label for reference in references}:
        model: Any = next(each.model for each in references if each.label == label)
        found |= {
            each._meta.db_table
            for each in (model._meta.concrete_model, *model._meta.all_parents)
            if each is not None
        }
    if policy.select_related or policy.prefetch_related:
        found.add("")  # which is in every statement
    return found


def spellings(reference: ModelReference) -> tuple[Any, ...]:
    """Return a row's key as Python has it and as its database does."""
    field: Any = reference.model._meta.pk
    try:
        stored = field.get_db_prep_value(reference.pk, connections[reference.using], prepared=False)
    except Exception:
        return (reference.pk,)
    return (reference.pk, stored)


def _copy_of(row: Any) -> Any:
    """Return an instance of its own: what one row's method does to it is not the next one's."""
    if not isinstance(row, models.Model):
        return copy.deepcopy(row)
    state = ModelState()
    state.db, state.adding = row._state.db, row._state.adding
    new = type(row).__new__(type(row))
    vars(new).update(
        {
            name: value if type(value) in LEAVES else copy.deepcopy(value)
            for name, value in vars(row).items()
            if name != "_state"
        },
        _state=state,
    )
    return new
