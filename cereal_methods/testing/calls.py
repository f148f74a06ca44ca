"""Calls of tasks: what a message says, and whether it is what a test expects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Task, current_app
from django.apps import apps
from kombu.serialization import dumps, loads, registry  # type: ignore[attr-defined]

from ..arguments import plainly
from ..bound import BoundModelTask
from ..calls import NO_EMBED, THIS
from ..exceptions import InvalidModelTask, RecordingError
from ..references import (
    ModelReference,
    QuerySetReference,
    Reference,
    from_plain,
    reference_of,
    to_references,
)


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """A call of a task: ``shop.Order.ship <shop.Order 5> 'dhl'``.

    ``name`` is that of the Celery task, ``row`` the reference of ``self``, or of the
    rows of a batch, or None. ``args`` and ``kwargs`` are those of the method, as they
    have travelled: with references in the place of instances.
    """

    name: str
    row: Reference | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    content_type: str

    @classmethod
    def of(cls, name: str, args: Any, kwargs: Any, content_type: str) -> Call:
        """Return the call that a message's, or a signature's, arguments are."""
        kwargs = dict(kwargs or {})
        this = kwargs.get(THIS)
        row: Reference | None = from_plain(this) or reference_of(this)
        if row is not None:
            del kwargs[THIS]
        if isinstance(row, QuerySetReference) and len(row.pks) == 1:  # a bulk's, without batches
            (row,) = row.each()
        return cls(name, row, tuple(args or ()), kwargs, content_type)

    @property
    def rows(self) -> tuple[ModelReference, ...]:
        """A reference of each row that the method is to run on; empty if it runs on none."""
        if isinstance(self.row, QuerySetReference):
            return tuple(self.row.each())
        return (self.row,) if self.row is not None else ()

    def is_of(self, expected: Expected) -> bool:
        """Whether this is a call of what is expected, with the arguments if any are."""
        return (
            self.name == expected.name
            and (expected.row is None or expected.row in self.rows)
            and (expected.takes_any or self._has(expected.args, expected.kwargs))
        )

    def _has(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        own = _bound(self.name, self.args, self.kwargs)
        if bool(_bound(self.name, args, kwargs) == own):
            return True
        try:  # a tuple travels as a list in JSON
            travelled = _as_travelled(args, kwargs, self.content_type)
        except Exception:  # mock.ANY, say, which no serializer carries
            return False
        return bool(_bound(self.name, *travelled) == own)

    def __repr__(self) -> str:
        name, rows = shown_name(self.name, self.row), [self.row] if self.row else []
        named = [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return " ".join([name, *map(repr, [*rows, *self.args]), *named])


@dataclass(frozen=True, slots=True, repr=False)
class Expected:
    """What a test names: a task, perhaps on one row, perhaps with certain arguments."""

    name: str
    row: ModelReference | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    takes_any: bool

    @classmethod
    def of(cls, method: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Expected:
        """Return what a method on an instance or a class, a task or a task's name means.

        On the class the first argument is the row. Raises ``TypeError`` where the
        arguments do not fit, so that they could never have been sent.
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
            shown = getattr(method, "__qualname__", None) or f"of type {type(method).__qualname__}"
            raise RecordingError(
                f"What is expected is {shown}, which is no task. Name a method as order.ship or "
                "Order.ship, without calling it, a Celery task, or a task's name.",
                method,
            )
        args, kwargs = to_references(tuple(args)), to_references(kwargs)
        takes_any = not args and not kwargs
        if not takes_any:
            _check(name, args, kwargs)
        return cls(name, row, args, kwargs, takes_any)

    def __repr__(self) -> str:
        return repr(Call(self.name, self.row, self.args, self.kwargs, ""))


def _as_row(name: str, given: Any) -> ModelReference | None:
    found = reference_of(given) if given is not None else None
    if isinstance(found, QuerySetReference) or (given is not None and found is None):
        raise InvalidModelTask(
            f"On the class, {name} is expected with its instance first, and not with a "
            f"{type(given).__qualname__}.",
            name,
        )
    return found


def shown_name(name: str, row: Reference | None) -> str:
    """Return a task's name for people: ``shop.Order.ship``, where its row tells the model."""
    model = apps.all_models.get(row.label.partition(".")[0], {}) if row is not None else {}
    found = model.get(row.label.partition(".")[2].lower()) if row is not None else None
    prefix = f"{found.__module__}.{found.__name__}." if found is not None else None
    if row is None or prefix is None or not name.startswith(prefix):
        return name
    return f"{row.label}.{name.removeprefix(prefix)}"


def _task(name: str) -> Task[..., Any] | None:
    found: Task[..., Any] | None = current_app.tasks.get(name)
    return found


def _check(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    signature = _signature(name)
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name} is never sent with these arguments: {error}.") from None


def _signature(name: str) -> inspect.Signature | None:
    task = _task(name)
    if task is None:
        return None
    signature = inspect.signature(task.run)
    parameters = [each for each in signature.parameters.values() if each.name != THIS]
    return signature.replace(parameters=parameters)


def _bound(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return arguments in a form in which those given by place and by name are equal."""
    signature = _signature(name)
    try:
        if signature is not None:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return bound.arguments
    except TypeError:  # a part of a canvas, which gets further arguments
        pass
    return list(args), dict(kwargs)


def _as_travelled(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], content_type: str
) -> tuple[Any, Any]:
    body = (args, dict(kwargs), dict(NO_EMBED))
    found, encoding, data = dumps(body, registry.type_to_name[content_type])
    args, kwargs, _ = plainly(*loads(data, found, encoding, accept={found}))
    return args, kwargs
