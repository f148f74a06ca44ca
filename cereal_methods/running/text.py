"""What logs and monitors show of a method's call: texts and fields.

They name the row by label and key. Nothing here runs a query, fetches a reference or calls a
model's ``__str__``, which may do both and show personal data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import models

from ..celery_api.tasks import saferepr
from ..exceptions import CerealError
from ..rows.container import ArgumentContainer
from ..rows.key_text import key_text
from ..rows.reference import THIS, ModelReference, QuerySetReference, Reference
from ..rows.values import named_reference, replace_leaves
from ..rows.wire import reference_from_key, reference_from_plain
from .state import state_of
from .target import row_model_of

#: The most values, and characters of a string, whose ``repr`` needs no bound.
_FEW_VALUES: Final = 8
_SHORT: Final = 80

_REFERENCES: Final = (ModelReference, QuerySetReference)
_SHORT_TYPES: Final = frozenset({int, float, bool, type(None), *_REFERENCES})


def args_text(row: Any, args: Any, size: int) -> str:
    """Return the text of positional arguments, the row first: ``(<shop.Order 5>, 'dhl')``.

    ``row`` is the reference or the key, or None. The text has about ``size`` characters at most.
    """
    args = _safe_view(args) or ()
    values = tuple(args) if row is None else (row, *args)
    if len(values) <= _FEW_VALUES and all(map(_is_short, values)):
        return f"({values[0]!r},)" if len(values) == 1 else f"({', '.join(map(repr, values))})"
    return saferepr(_without_instances(values), size)


def row_texts(args: Any, size: int) -> Callable[[Reference], str]:
    """Return a function that returns ``args_text`` of a row, for many rows with the same args."""
    values = tuple(_safe_view(args) or ())
    if len(values) < _FEW_VALUES and all(map(_is_short, values)):
        rest = "".join(f", {value!r}" for value in values) or ","
        return lambda row: f"({row!r}{rest})"
    return lambda row: args_text(row, args, size)


def kwargs_text(kwargs: Any, size: int) -> str:
    """Return the text of keyword arguments without the row's: ``{'express': True}``."""
    kwargs = _safe_view(kwargs)
    if not kwargs or (len(kwargs) == 1 and THIS in kwargs):
        return "{}"
    values = {name: value for name, value in kwargs.items() if name != THIS}
    if len(values) <= _FEW_VALUES and all(map(_is_short, values.values())):
        return repr(values)
    return saferepr(_without_instances(values), size)


def row_in(kwargs: Any, model: type[models.Model] | None = None) -> Any:
    """Return the reference of the row, or rows, that a message is for; None if it names none.

    For a row that was not saved it is an object with the row's text. ``model`` is that of the
    task's method, whose rows a message may name by their keys.
    """
    # The arguments of a message know it without being read.
    this = kwargs.own_reference if isinstance(kwargs, ArgumentContainer) else None
    if this is None:
        this = _safe_view(kwargs).get(THIS) if isinstance(kwargs, Mapping) else None
    this = named_reference(this) or this
    if isinstance(this, models.Model):
        return _InstanceText(this)
    try:
        row = reference_from_plain(this) or this
        if row is not None and model is not None and not isinstance(row, _REFERENCES):
            row = reference_from_key(model, row)
    except CerealError:  # the task fails for it
        return None
    if isinstance(row, QuerySetReference) and len(row.pks) == 1:
        return row.each()[0]
    return row


def row_of(task: Any) -> Reference | None:
    """Return the reference of the row, or of the rows, that a running task was sent for.

    ``task`` is the Celery task (``celery.current_task``, ``bind=True``). None if it was not sent
    for a row, or if no task runs.
    """
    if not task:
        return None
    reference = state_of(task.request).reference  # of a task that has started
    row = row_in(task.request.kwargs, row_model_of(task)) if reference is None else reference
    return row if isinstance(row, _REFERENCES) else None


def call_text(task: Any) -> str:
    """Return the running task's call: ``shop.models.Order.ship <shop.Order 5> express=True``."""
    request = task.request
    args, kwargs = _safe_view(request.args), _safe_view(request.kwargs)
    row = row_of(task) or row_in(request.kwargs, row_model_of(task))
    words = [task.name] if row is None else [task.name, repr(row)]
    words += [saferepr(_without_instances(value), _SHORT) for value in args or ()]
    for name, value in (kwargs or {}).items():
        if name != THIS:
            words.append(f"{name}={saferepr(_without_instances(value), _SHORT)}")
    return " ".join(words)


def fields(task: Any, row: Reference | None = None) -> dict[str, Any]:
    """Return the fields of a log record about a running task.

    ``task_name`` and ``task_id``; for a task with a row also ``model`` (its label), ``pk``
    (an integer or text) and ``database``; with several rows their number, ``rows``, instead of
    ``pk``.
    """
    row = row or row_of(task)
    values = {"task_name": task.name, "task_id": task.request.id}
    if row is not None:
        values.update(model=row.label, database=row.using)
    if isinstance(row, ModelReference):
        values["pk"] = row.pk if type(row.pk) is int else str(row.pk)
    elif row is not None:
        values["rows"] = len(row.pks)
    return values


class _InstanceText:
    """An instance in a text: label and key, whatever its ``__str__`` is."""

    def __init__(self, instance: models.Model) -> None:
        self.instance = instance

    def __repr__(self) -> str:
        return f"<{self.instance._meta.label} {key_text(self.instance.pk)}>"


class _QuerySetText:
    """A queryset in a text, which must not run it."""

    def __init__(self, queryset: models.QuerySet[Any]) -> None:
        self.label = queryset.model._meta.label

    def __repr__(self) -> str:
        return f"<{self.label} rows>"


def _is_short(value: Any) -> bool:
    kind = type(value)
    return kind in _SHORT_TYPES or (kind is str and len(value) <= _SHORT) or kind is _InstanceText


def _safe_view(arguments: Any) -> Any:
    """Return arguments without fetching the rows that they name, if they came in a message."""
    return arguments.safe_view() if isinstance(arguments, ArgumentContainer) else arguments


def _without_instances(value: Any) -> Any:
    try:
        return replace_leaves(value, _leaf_text)
    except RecursionError:  # the serializer raises an error for it, if it cannot write it
        return ...


def _leaf_text(leaf: Any) -> Any:
    if isinstance(leaf, models.QuerySet):
        return _QuerySetText(leaf)
    return _InstanceText(leaf) if isinstance(leaf, models.Model) else None
