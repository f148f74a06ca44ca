"""How deeply a value is nested."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods.serializers.nesting import DEEPEST, is_deep


def nested(levels: int, value: Any = None) -> Any:
    """Return lists and dicts within each other."""
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize(
    "value", [[], {}, [1, [2], [[3], 4], {"a": (5,), "b": 6}], nested(DEEPEST)]
)
def test_values_that_a_consumer_can_pickle_are_not_deep(value: Any) -> None:
    assert not is_deep(value)


def test_a_value_with_one_more_level_is_deep() -> None:
    assert is_deep(nested(DEEPEST + 1))


def test_a_value_that_contains_itself_is_deep() -> None:
    value: list[Any] = []
    value.append(value)

    assert is_deep(value)


def test_a_value_that_occurs_many_times_is_inspected_once() -> None:
    value: Any = []
    for _ in range(100):
        value = [value] * 10

    assert not is_deep(value)
