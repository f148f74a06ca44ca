"""What logs and monitors are shown of a method's call: texts and fields.

They name the row by label and key. Nothing here runs a query, fetches a
reference or calls a model's ``__str__``, which may do both and show personal data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from celery.utils.saferepr import saferepr
from django.db import models

from .exceptions import CerealError
from .keys import shown
from .references import (
    THIS,
    ModelReference,
    QuerySetReference,
    Reference,
    from_plain,
    reference_to,
    replace,
)
from .stand_ins import Row, named_by

#: The most values, and characters of a string, whose ``repr`` is taken without measuring it.
_FEW: Final = 8
_SHORT: Final = 80

_REFERENCES: Final = (ModelReference, QuerySetReference)
_BRIEF: Final = frozenset({int, float, bool, type(None), *_REFERENCES})


def args_text(row: Any, args: Any, size: int) -> str:
    """Return the text of positional arguments, the row first: ``(<shop.Order 5>, 'dhl')``.

    ``row`` is the reference or the key, or None; ``size`` how many characters the text
    may have, nearly.
    """
    args = _shown(args) or ()
    values = tuple(args) if row is None else (row, *args)
    if len(values) <= _FEW and all(map(_is_brief, values)):
        return f"({values[0]!r},)" if len(values) == 1 else f"({', '.join(map(repr, values))})"
    return saferepr(_without_instances(values), size)


def kwargs_text(kwargs: Any, size: int) -> str:
    """Return the text of keyword arguments without the row's: ``{'express': True}``."""
    kwargs = _shown(kwargs)
    if not kwargs or (len(kwargs) == 1 and THIS in kwargs):
        return "{}"
    values = {name: value for name, value in kwargs.items() if name != THIS}
    if len(values) <= _FEW and all(map(_is_brief, values.values())):
        return repr(values)
    return saferepr(_without_instances(values), size)


def row_in(kwargs: Any, model: type[models.Model] | None = None) -> Any:
    """Return the reference of a message's row or rows, or else what stands for it, or None.

    ``model`` is the one of the task's method, whose key may stand for a reference.
    """
    this = getattr(kwargs, "own", None)  # that of a message knows without being read
    if this is None:
        this = _shown(kwargs).get(THIS) if isinstance(kwargs, Mapping) else None
    if type(this) is Row:
        this = named_by(this)
    if isinstance(this, models.Model):
        return _Named(this)
    try:
        rows = from_plain(this) or this
        if rows is not None and model is not None and not isinstance(rows, _REFERENCES):
            rows = reference_to(model, rows)
    except CerealError:  # which the task tells of
        return None
    if isinstance(rows, QuerySetReference) and len(rows.pks) == 1:
        return rows.each()[0]
    return rows


def row_of(task: Any) -> Reference | None:
    """Return the reference of the row, or of the rows, that a running task was sent for.

    ``task`` is the Celery task (``celery.current_task``, ``bind=True``). None where it was
    sent for none, or no task runs.
    """
    request = getattr(task, "request", None)
    found = getattr(request, "own", None)  # of a task that has begun
    if found is None:
        found = row_in(getattr(request, "kwargs", None), getattr(task, "row_model", None))
    return found if isinstance(found, _REFERENCES) else None


def call_text(task: Any) -> str:
    """Return the running task's call: ``shop.models.Order.ship <shop.Order 5> express=True``."""
    request = task.request
    args, kwargs = _shown(request.args), _shown(request.kwargs)
    row = row_of(task) or row_in(request.kwargs, getattr(task, "row_model", None))
    words = [task.name] if row is None else [task.name, repr(row)]
    words += [saferepr(_without_instances(value), _SHORT) for value in args or ()]
    for name, value in (kwargs or {}).items():
        if name != THIS:
            words.append(f"{name}={saferepr(_without_instances(value), _SHORT)}")
    return " ".join(words)


def fields(task: Any, row: Reference | None = None) -> dict[str, Any]:
    """Return the fields of a log record about a running task.

    ``task_name`` and ``task_id``; of the row, if it has one, ``model`` (its label), ``pk``
    (an integer or text) and ``database``; of several rows ``rows`` in the place of ``pk``.
    """
    row = row or row_of(task)
    found = {"task_name": task.name, "task_id": task.request.id}
    if row is not None:
        found.update(model=row.label, database=row.using)
    if isinstance(row, ModelReference):
        found["pk"] = row.pk if type(row.pk) is int else str(row.pk)
    elif row is not None:
        found["rows"] = len(row.pks)
    return found


class _Named:
    """Stands for an instance where its text is wanted."""

    def __init__(self, instance: models.Model) -> None:
        self.instance = instance

    def __repr__(self) -> str:
        return f"<{self.instance._meta.label} {shown(self.instance.pk)}>"


class _Rows:
    """Stands for a queryset where its text is wanted."""

    def __init__(self, queryset: models.QuerySet[Any]) -> None:
        self.label = queryset.model._meta.label

    def __repr__(self) -> str:
        return f"<{self.label} rows>"


def _is_brief(value: Any) -> bool:
    kind = type(value)
    return kind in _BRIEF or (kind is str and len(value) <= _SHORT) or kind is _Named


def _shown(part: Any) -> Any:
    """Return arguments without fetching what they name, if they came in a message."""
    return part.peek() if hasattr(part, "peek") else part


def _without_instances(value: Any) -> Any:
    try:
        return replace(value, _named)
    except RecursionError:  # which the serializer tells of, if it cannot carry it
        return ...


def _named(leaf: Any) -> Any:
    if isinstance(leaf, models.QuerySet):
        return _Rows(leaf)
    return _Named(leaf) if isinstance(leaf, models.Model) else None
