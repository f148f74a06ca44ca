"""Recorded calls as values that tests can compare."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cereal_methods import ModelReference
from cereal_methods.testing import Call, SentTask


def values_of(calls: Iterable[SentTask[Any] | Call]) -> list[tuple[Any, ...]]:
    """Return of each call the method's name, the key of its row or rows, and its arguments."""
    return [_value_of(call) for call in calls]


def _value_of(call: SentTask[Any] | Call) -> tuple[Any, ...]:
    row: Any = call.row
    key = row.pk if isinstance(row, ModelReference) else row and row.pks
    kwargs = [dict(call.kwargs)] if call.kwargs else []
    return (call.name.rpartition(".")[2], key, *call.args, *kwargs)
