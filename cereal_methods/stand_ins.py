"""What stands for rows where a task's arguments are read before its function begins.

Hooks, signal handlers and monitors may look at anything, and nothing that they look at
changes how the function's own rows are fetched: a stand-in fetches for its reader alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.utils.functional import SimpleLazyObject, empty

_OF_REFERENCES = frozenset({"reference", "label", "using"})


class Row(SimpleLazyObject):  # type: ignore[type-arg]
    """A row that a message names: its key without a query, its fields with one.

    It passes for an instance of its model, and is equal to one with the same key.
    ``reference`` is the ``ModelReference``, ``label`` and ``using`` are what it has, unless
    the model has an attribute of that name. Reading a field raises the model's
    ``DoesNotExist`` if the row is gone.
    """

    def __init__(self, reference: Any, fetch: Callable[[Any], Any]) -> None:
        super().__init__(lambda: fetch(reference))
        # SimpleLazyObject passes attributes on to the instance.
        self.__dict__.update(_reference=reference, _fetch=fetch)

    @property
    def pk(self) -> Any:
        """The primary key; that of a copy, once the row was saved as one."""
        row = self.__dict__["_wrapped"]
        return self._reference.pk if row is empty else row.pk

    @property
    def _meta(self) -> Any:
        return self._reference.model._meta

    def __getattr__(self, name: str) -> Any:
        if name == "__json__":
            return self._reference.__json__
        if name in _OF_REFERENCES and not hasattr(self.__class__, name):  # it may be a field
            return self._reference if name == "reference" else getattr(self._reference, name)
        if name == self._meta.pk.attname:
            return self.pk
        return super().__getattr__(name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        try:
            return self._reference.model
        except LookupError:  # of which the task is told, where it begins
            return Row

    def __eq__(self, other: object) -> bool:
        return (
            getattr(getattr(other, "_meta", None), "concrete_model", None)
            is self._meta.concrete_model
            and self.pk == other.pk  # type: ignore[attr-defined]
        )

    def __hash__(self) -> int:
        return hash(self.pk)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return repr(named_by(self))

    def __copy__(self) -> Row:
        return Row(self._reference, self._fetch)

    def __deepcopy__(self, memo: dict[int, Any]) -> Row:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return Row, (self._reference, self._fetch)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()


class Rows(list[Row]):
    """The rows of a queryset that a message names. ``reference`` is the ``QuerySetReference``."""

    def __init__(self, reference: Any, fetch: Callable[[Any], Any]) -> None:
        super().__init__(Row(each, fetch) for each in reference.each())
        self.reference = self._reference = reference


def named_by(stand_in: Any) -> Any:
    """Return the reference of what a stand-in stands for."""
    reference = stand_in._reference
    if type(stand_in) is Row and stand_in.pk not in (reference.pk, None):
        return type(reference)(reference.label, stand_in.pk, reference.using)
    return reference


def is_stand_in(value: Any) -> bool:
    """Whether a value stands for a row, or for the rows of a queryset. Runs no query."""
    return type(value) is Row or type(value) is Rows


def stand_in(reference: Any, fetch: Callable[[Any], Any]) -> Row | Rows:
    """Return what stands for what a reference names."""
    return (Rows if hasattr(reference, "pks") else Row)(reference, fetch)
