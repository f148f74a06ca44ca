"""Values as JSON and ``repr`` show them, without a query."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest

from cereal_methods import ModelReference, fetch
from cereal_methods.rows.text import for_json, for_repr
from tests.shop.models import Order

from ..bodies import stored

ORDER = stored(Order, pk=5)
REFERENCE = ModelReference("shop.Order", 5, "default")


@pytest.mark.parametrize("row", [ORDER, REFERENCE, REFERENCE.lazy(fetch)], ids=["", "", ""])
def test_a_row_is_its_plain_form_or_its_repr(row: Any) -> None:
    assert for_json({"a": [row]}) == {
        "a": [{"cereal_methods.reference": ["shop.Order", 5, "default"]}]
    }
    assert for_repr({"a": [row]}) == {"a": ["<shop.Order 5>"]}


@pytest.mark.parametrize("value", [None, True, 1.5, "text", 2**2047 - 1, [], {}, [[1]], {"a": 1}])
def test_json_values_are_unchanged(value: Any) -> None:
    assert for_json(value) == value


@pytest.mark.parametrize(
    ("value", "view"),
    [
        ((1, 2), [1, 2]),
        ({1}, [1]),
        (frozenset({1}), [1]),
        ({1: {None: 2}}, {"1": {"None": 2}}),
        ({REFERENCE: 1}, {"<shop.Order 5>": 1}),
        (decimal.Decimal("1.5"), "Decimal('1.5')"),
        (datetime.date(2026, 2, 28), "datetime.date(2026, 2, 28)"),
        (10**5000, hex(10**5000)),
    ],
    ids=lambda value: repr(value)[:20] if type(value) is not int else "huge",
)
def test_other_values_become_lists_dicts_and_text(value: Any, view: Any) -> None:
    assert for_json(value) == view


def test_an_instance_that_was_deleted_is_text() -> None:
    assert for_json([Order(pk=5)]) == ["<shop.Order 5>"]


@pytest.mark.parametrize("empty", [list, dict])
def test_a_value_that_contains_itself_is_empty(empty: Any) -> None:
    value: Any = empty()
    if empty is list:
        value.append(value)
    else:
        value["a"] = value

    assert for_json(value) == empty()
