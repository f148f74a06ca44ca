"""The window of a batch: rows that are fetched ahead, and used within a second."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from django.db import connections, models

from ...django_api.models import made_instance
from ...django_api.models import tables_of as tables_of_model
from ...exceptions import CerealError
from ...rows.connections import UNAVAILABLE
from ...rows.fetch import fetch_all
from ...rows.values import LEAVES

if TYPE_CHECKING:
    from ...rows.reference import ModelReference
    from ..policy import RowPolicy

logger = logging.getLogger("cereal_methods")

#: The maximum age of a row when its method starts, in seconds.
MAX_AGE: Final = 1.0

#: How many rows the first query fetches.
_FIRST: Final = 500

#: If the arguments name more other rows than this, each row fetches them itself.
_MAX_SHARED: Final = 20


class Window:
    """Fetches rows ahead: with one query as many as have run in the last second."""

    def __init__(
        self, policy: RowPolicy, references: Sequence[ModelReference], others: Sequence[Any] = ()
    ) -> None:
        self._policy = policy
        self._references = references
        self._others = others if len(others) <= _MAX_SHARED else ()
        self._rows: dict[Any, Any] = {}
        self._shared: dict[ModelReference, Any] = {}
        self._until = 0  # the first position after the window
        self._fetched_at = 0.0
        self._next = _FIRST
        self._taken = 0  # rows since the last query
        self._max_age = MAX_AGE

    def has(self, position: int) -> bool:
        """Whether ``take`` returns a row without a query."""
        return position < self._until and time.monotonic() - self._fetched_at < self._max_age

    def drop(self) -> None:
        """Forget the rows, because a method may have changed some of them."""
        if self._until:
            self._next = max(1, self._taken)
            self._until = 0

    def take(self, position: int) -> dict[ModelReference, Any]:
        """Return the instances for a row: its own, and those of other rows in the arguments.

        The row's task fetches the instances that are not in it. Raises the error of an
        unavailable database.
        """
        if not self.has(position):
            self._fetch(position)
        self._taken += 1
        reference = self._references[position]
        ahead = {other: _copy_of(row) for other, row in self._shared.items()}
        row = self._rows.pop(reference.pk, None)
        if row is not None and row.pk is not None:
            ahead[reference] = row
        return ahead

    def lock(self, keys: Sequence[Any]) -> None:
        """Fetch and lock all rows, which other transactions cannot change from then on."""
        self._max_age = float("inf")
        self._rows, self._shared = self._query(keys), self._query_shared()
        self._until, self._fetched_at = len(self._references), time.monotonic()

    def _fetch(self, position: int) -> None:
        took = time.monotonic() - self._fetched_at
        if self._until:
            self._next = max(1, int(self._taken * MAX_AGE / max(took, 1e-6)))
        while True:
            references = self._references[position : position + self._next]
            keys = [reference.pk for reference in references]
            self._fetched_at = time.monotonic()
            self._taken = 0
            self._rows = self._query(keys)
            self._shared = self._query_shared()
            self._until = position + len(keys)
            if len(keys) == 1 or time.monotonic() - self._fetched_at < MAX_AGE / 2:
                return
            self._next = max(1, len(keys) // 10)

    def _query(self, keys: Sequence[Any]) -> dict[Any, Any]:
        """Return the rows with these keys, fetched by the task's policy."""
        first = self._references[0]
        try:
            return self._policy._query(first.model, first.using, list(keys))
        except CerealError as error:
            if isinstance(error, UNAVAILABLE):
                raise
            return {}  # each row raises the error when it is fetched

    def _query_shared(self) -> dict[ModelReference, Any]:
        """Return the other rows that the arguments name, if all of them exist."""
        if not self._others:
            return {}
        try:
            return dict(zip(self._others, fetch_all(self._others), strict=True))
        except UNAVAILABLE:
            raise
        except Exception:  # each row raises the error when it fetches them
            return {}


def tables_of(policy: RowPolicy, references: Sequence[ModelReference]) -> set[str]:
    """Return the tables that rows are read from, for ``Sessions``."""
    tables: set[str] = set()
    for reference in {reference.label: reference for reference in references}.values():
        tables |= tables_of_model(reference.model)
    if policy.select_related or policy.prefetch_related:
        tables.add("")  # any statement may change related rows
    return tables


def key_forms(reference: ModelReference) -> tuple[Any, ...]:
    """Return a row's primary key as Python and as its database represent it."""
    field: Any = reference.model._meta.pk
    try:
        stored = field.get_db_prep_value(reference.pk, connections[reference.using], prepared=False)
    except Exception:
        return (reference.pk,)
    return (reference.pk, stored)


def _copy_of(row: Any) -> Any:
    """Return a copy of an instance, so that one row's method cannot change that of the next."""
    if not isinstance(row, models.Model):
        return copy.deepcopy(row)
    values = {
        name: value if type(value) in LEAVES else copy.deepcopy(value)
        for name, value in vars(row).items()
        if name != "_state"
    }
    return made_instance(type(row), values, row._state.db, adding=row._state.adding)
