"""The call of a task that a message carries."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celery import Task, current_app
from kombu.serialization import dumps, loads

from ..celery_api.kombu import serializer_of
from ..django_api.models import registered_model
from ..rows.container import with_references
from ..rows.reference import THIS, ModelReference, QuerySetReference, Reference, reference_of
from ..rows.wire import reference_from_plain
from ..serializers.frame import EMPTY_EMBED


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """A call of a task: ``shop.Order.ship <shop.Order 5> 'dhl'``.

    - ``name`` (str): the name of the Celery task.
    - ``row``: the reference of ``self`` or of the rows of a batch, or None.
    - ``args`` (tuple), ``kwargs`` (mapping): the method's arguments, with references instead of
      instances.
    - ``content_type`` (str): the content type of the message.
    """

    name: str
    row: Reference | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    content_type: str

    @classmethod
    def of(cls, name: str, args: Any, kwargs: Any, content_type: str) -> Call:
        """Return the call with the arguments of a message or a signature."""
        kwargs = dict(kwargs or {})
        this = kwargs.get(THIS)
        row: Reference | None = reference_from_plain(this) or reference_of(this)
        if row is not None:
            del kwargs[THIS]
        if isinstance(row, QuerySetReference) and len(row.pks) == 1:  # a bulk without batches
            (row,) = row.each()
        return cls(name, row, tuple(args or ()), kwargs, content_type)

    @property
    def rows(self) -> tuple[ModelReference, ...]:
        """A reference to each row that the method runs on; empty if it runs on none."""
        if isinstance(self.row, QuerySetReference):
            return tuple(self.row.each())
        return (self.row,) if self.row is not None else ()

    def has_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether the call has these arguments, by position or by name."""
        bound = _bound(self.name, self.args, self.kwargs)
        if bool(_bound(self.name, args, kwargs) == bound):
            return True
        try:  # JSON turns a tuple into a list
            decoded = _decoded(args, kwargs, self.content_type)
        except Exception:  # for example mock.ANY, which cannot be serialized
            return False
        return bool(_bound(self.name, *decoded) == bound)

    def __repr__(self) -> str:
        name, rows = short_name(self.name, self.row), [self.row] if self.row else []
        keywords = [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return " ".join([name, *map(repr, [*rows, *self.args]), *keywords])


def short_name(name: str, row: Reference | None) -> str:
    """Return the short name of a row's method, ``shop.Order.ship``; else the task's name."""
    if row is None:
        return name
    model = registered_model(row.label)
    prefix = f"{model.__module__}.{model.__name__}." if model is not None else None
    if prefix is None or not name.startswith(prefix):
        return name
    return f"{row.label}.{name.removeprefix(prefix)}"


def signature_of(name: str) -> inspect.Signature | None:
    """Return the signature of a task without ``this``; None if this process lacks the task."""
    task: Task[..., Any] | None = current_app.tasks.get(name)
    if task is None:
        return None
    signature = inspect.signature(task.run)
    parameters = [each for each in signature.parameters.values() if each.name != THIS]
    return signature.replace(parameters=parameters)


def _bound(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return arguments in a form that is the same for positional and keyword arguments."""
    signature = signature_of(name)
    try:
        if signature is not None:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return bound.arguments
    except TypeError:  # a step of a canvas, to which Celery adds arguments
        pass
    return list(args), dict(kwargs)


def _decoded(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], content_type: str
) -> tuple[Any, Any]:
    """Return arguments as a message of a content type would deliver them."""
    body = (args, dict(kwargs), dict(EMPTY_EMBED))
    kind, encoding, data = dumps(body, serializer_of(content_type))
    args, kwargs, _ = with_references(*loads(data, kind, encoding, accept={kind}))
    return args, kwargs
