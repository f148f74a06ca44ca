"""The call that a test expects, and whether a recorded call is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..exceptions import InvalidModelTask, RecordingError
from ..rows.reference import ModelReference, QuerySetReference, reference_of
from ..rows.values import to_references
from ..sending.bound import BoundModelTask
from .calls import Call, signature_of


@dataclass(frozen=True, slots=True, repr=False)
class Expected:
    """A task that a test expects: on one row or on any, with certain arguments or with any."""

    call: Call

    @classmethod
    def of(cls, method: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Expected:
        """Return what is expected of a method (on an instance or a class), task or task's name.

        On a class the first argument is the row. Raises ``TypeError`` if the arguments do not
        fit the task, because they could never have been sent, and ``RecordingError`` if
        ``method`` is not a task.
        """
        kwargs = dict(kwargs or {})
        row: Any = None
        if isinstance(method, BoundModelTask):
            name = method.name
            if method._self_parent.takes_row(method._self_instance):
                row = method._self_instance
                if row is None and args:
                    row, *args = args  # type: ignore[assignment]
                row = _as_row(name, row)
        elif isinstance(method, str):
            name = method
        elif hasattr(method, "apply_async") and isinstance(getattr(method, "name", None), str):
            name = method.name
        else:
            kind = type(method).__qualname__
            name = getattr(method, "__qualname__", None) or f"A value of type {kind}"
            raise RecordingError(
                f"{name} is not a task, so it cannot be expected. Pass a method without calling "
                "it (order.ship or Order.ship), a Celery task, or a task's name.",
                method,
            )
        args, kwargs = to_references(tuple(args)), to_references(kwargs)
        if args or kwargs:
            _check(name, args, kwargs)
        return cls(Call(name, row, args, kwargs, content_type=""))

    def matches(self, call: Call) -> bool:
        """Whether a call is the expected one."""
        name, row, args, kwargs = self.call.name, self.call.row, self.call.args, self.call.kwargs
        return (
            call.name == name
            and (row is None or row in call.rows)
            and (not (args or kwargs) or call.has_arguments(args, kwargs))
        )

    def __repr__(self) -> str:
        return repr(self.call)


def _as_row(name: str, row: Any) -> ModelReference | None:
    reference = reference_of(row) if row is not None else None
    if isinstance(reference, QuerySetReference) or (row is not None and reference is None):
        raise InvalidModelTask(
            f"On the class, the first argument of {name} must be an instance, not a "
            f"{type(row).__qualname__}.",
            name,
        )
    return reference


def _check(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    signature = signature_of(name)
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name} cannot be sent with these arguments: {error}.") from None
