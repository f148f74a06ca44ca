"""Fetched rows in the place of the references and lazy rows that named them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..rows.values import LEAVES, named_reference, replace_leaves

if TYPE_CHECKING:
    from ..rows.reference import Reference
    from ..serializers.call import Call
    from .plan import Part, Plan


class Resolution:
    """Puts rows into values. ``rows`` are instances, or lists of them, by reference."""

    def __init__(self, rows: Mapping[Reference, Any], call: Call | None = None) -> None:
        self.rows = rows
        self._rebuilt = call.rebuilt_on(rows) if call is not None else {}
        # The call keeps the objects alive whose ids are the keys above.
        self._call = call

    def __call__(self, value: Any) -> Any:
        """Return a value with rows in it."""
        if type(value) in LEAVES:
            return value
        if id(value) in self._rebuilt:
            return self._rebuilt[id(value)]
        return replace_leaves(value, self._row_for)

    def _row_for(self, value: Any) -> Any:
        reference = named_reference(value)
        return self._rebuilt.get(id(value)) if reference is None else self.rows.get(reference)

    def origin(self, value: Any) -> Reference | None:
        """Return the reference that a row was fetched for, or None."""
        for reference, row in self.rows.items():
            if row is value:
                return reference
        return None


class Resolutions:
    """The resolutions of one run: each argument has the rows that its parameter's policy fetched.

    ``fetched`` are the rows of the plan's parts, in their order. ``all`` has the rows of all
    parts; of a row that two parts have fetched, it has the one of the first.
    """

    def __init__(
        self, plan: Plan, fetched: Sequence[dict[Reference, Any]], call: Call | None
    ) -> None:
        self._plan = plan
        self._of_parts: dict[Part | None, Resolution] = {}
        rows: dict[Reference, Any] = {}
        for part_rows in reversed(fetched):
            rows.update(part_rows)
        self.all = Resolution(rows, call)
        if plan.parts_of_arguments and len(fetched) > 1:
            self._of_parts = {
                part: Resolution({**rows, **part_rows}, call)
                for part, part_rows in zip(plan.parts, fetched, strict=True)
                if part.policy.fetches_self
            }

    def args(self, args: Iterable[Any]) -> list[Any]:
        """Return positional arguments with rows in them."""
        return [self._of(position)(value) for position, value in enumerate(args)]

    def kwargs(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return keyword arguments with rows in them."""
        return {name: self._of(name)(value) for name, value in kwargs.items()}

    def _of(self, argument: int | str) -> Resolution:
        return self._of_parts.get(self._plan.parts_of_arguments.get(argument), self.all)
