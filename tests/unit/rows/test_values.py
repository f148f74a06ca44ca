"""References in place of instances, at any depth of a value."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject

from cereal_methods import ModelReference, fetch
from cereal_methods.exceptions import UnsupportedValue
from cereal_methods.rows.lazy import is_lazy
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.rows.values import (
    named_reference,
    to_references,
    with_lazy_rows,
    without_lazy_rows,
)
from tests.shop.models import Customer, Order

from ..bodies import stored

REFERENCE = ModelReference("shop.Order", 5, "default")
ROWS = QuerySetReference("shop.Order", (5, 6), "default")


def test_a_lazy_proxy_of_an_instance_is_a_reference() -> None:
    lazy = SimpleLazyObject(lambda: stored(Customer, pk=7))

    assert to_references([lazy]) == [ModelReference("shop.Customer", 7, "default")]


def test_instances_at_any_depth_become_references_and_the_rest_is_kept() -> None:
    order = stored(Order, pk=5)
    reference = ModelReference.of(order)

    replaced = to_references({"a": [order, (order, 1)], "b": {"c": {2}}})

    assert replaced == {"a": [reference, (reference, 1)], "b": {"c": {2}}}


def test_values_without_instances_are_not_copied() -> None:
    value = {"a": [1, (2, {"b": {3}})]}

    assert to_references(value) is value


def test_values_with_instances_are_not_changed() -> None:
    order = stored(Order, pk=5)
    value = {"a": [order]}

    to_references(value)

    assert value["a"][0] is order


def test_data_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(UnsupportedValue) as caught:
        to_references(value)

    assert str(caught.value) == (
        "A task's arguments cannot be nested this deeply, or contain themselves."
    )


def test_a_subclass_of_dict_is_copied_as_such() -> None:
    order = stored(Order, pk=5)
    value = OrderedDict(a=order, b=1)

    copy = to_references(value)

    assert type(copy) is OrderedDict
    assert copy == OrderedDict(a=ModelReference.of(order), b=1)
    assert value["a"] is order


def test_references_take_the_place_of_lazy_rows() -> None:
    value = [REFERENCE.lazy(fetch), {"a": ROWS.lazy(fetch)}, 1]

    assert without_lazy_rows(value) == [REFERENCE, {"a": ROWS}, 1]


def test_a_value_that_contains_itself_keeps_its_lazy_rows() -> None:
    value: list[Any] = [REFERENCE.lazy(fetch)]
    value.append(value)

    assert without_lazy_rows(value) is value


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        (stored(Order, pk=5), REFERENCE),
        (REFERENCE, REFERENCE),
        (ROWS, ROWS),
    ],
    ids=["instance", "reference", "rows"],
)
def test_lazy_rows_take_the_place_of_rows(value: Any, reference: Any) -> None:
    (lazy, number) = with_lazy_rows([value, 5])

    assert is_lazy(lazy)
    assert named_reference(lazy) == reference
    assert number == 5


def test_lazy_rows_are_unchanged() -> None:
    row = REFERENCE.lazy(fetch)

    assert with_lazy_rows([row, object])[0] is row


@pytest.mark.parametrize(
    "value",
    [REFERENCE, ROWS, REFERENCE.lazy(fetch), ROWS.lazy(fetch)],
    ids=["reference", "rows", "lazy row", "lazy rows"],
)
def test_a_reference_and_a_lazy_row_name_a_row(value: Any) -> None:
    assert named_reference(value) in (REFERENCE, ROWS)


@pytest.mark.parametrize("value", [5, "text", None, [REFERENCE]])
def test_other_values_do_not_name_a_row(value: Any) -> None:
    assert named_reference(value) is None


def test_an_instance_does_not_name_a_row() -> None:
    assert named_reference(stored(Order, pk=5)) is None
