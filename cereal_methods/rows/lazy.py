"""Lazy rows, for code that reads a task's arguments before its function begins.

Hooks, signal handlers and monitors may read anything. What they read does not change how the
function's own rows are fetched: a lazy row fetches for its reader alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..django_api.models import SimpleLazyObject, concrete_model, lazy_value

_REFERENCE_ATTRIBUTES: Final = frozenset({"reference", "label", "using"})


class LazyRow(SimpleLazyObject):  # type: ignore[type-arg]
    """A row that a message names. Its key needs no query; its fields need one.

    It passes for an instance of its model and equals an instance with the same key.
    ``reference`` is the ``ModelReference``; ``label`` and ``using`` are the reference's, unless
    the model has an attribute of that name. Reading a field raises the model's
    ``DoesNotExist`` if the row is gone.
    """

    def __init__(self, reference: Any, fetch: Callable[[Any], Any]) -> None:
        super().__init__(lambda: fetch(reference))
        # SimpleLazyObject sets attributes on the instance.
        self.__dict__.update(_reference=reference, _fetch=fetch)

    @property
    def pk(self) -> Any:
        """The primary key; the new key after the row was saved as a copy."""
        row = lazy_value(self)
        return self._reference.pk if row is None else row.pk

    @property
    def _meta(self) -> Any:
        return self._reference.model._meta

    def __getattr__(self, name: str) -> Any:
        if name == "__json__":
            return self._reference.__json__
        if name in _REFERENCE_ATTRIBUTES and not hasattr(self.__class__, name):  # a model's field?
            return self._reference if name == "reference" else getattr(self._reference, name)
        if name == self._meta.pk.attname:
            return self.pk
        return super().__getattr__(name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        try:
            return self._reference.model
        except LookupError:  # UnknownModel, which the task raises when it begins
            return LazyRow

    def __eq__(self, other: object) -> bool:
        return (
            concrete_model(other) is concrete_model(self) and self.pk == other.pk  # type: ignore[attr-defined]
        )

    def __ne__(self, other: object) -> bool:
        return not self == other  # SimpleLazyObject would fetch the row

    def __hash__(self) -> int:
        return hash(self.pk)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return repr(lazy_reference(self))

    def __copy__(self) -> LazyRow:
        return LazyRow(self._reference, self._fetch)

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyRow:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyRow, (self._reference, self._fetch)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()


class LazyRows(list[LazyRow]):
    """The rows of a queryset that a message names. ``reference`` is the ``QuerySetReference``."""

    def __init__(self, reference: Any, fetch: Callable[[Any], Any]) -> None:
        super().__init__(row.lazy(fetch) for row in reference.each())
        self.reference = self._reference = reference


def lazy_reference(value: Any) -> Any:
    """Return the reference of a lazy row or of lazy rows."""
    reference = value._reference
    if type(value) is LazyRow and value.pk not in (reference.pk, None):
        return type(reference)(reference.label, value.pk, reference.using)
    return reference


def is_lazy(value: Any) -> bool:
    """Whether a value is a lazy row, or the lazy rows of a queryset. Runs no query."""
    return type(value) is LazyRow or type(value) is LazyRows
