"""References read from messages and from what users write."""

from __future__ import annotations

import decimal
import uuid
from typing import Any

import pytest

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage, UnsupportedKey
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.rows.wire import (
    as_reference,
    reference_from_key,
    reference_from_plain,
    reference_from_wire,
)
from tests.shop.models import Document, Line, Order

from ..bodies import stored

UUID = uuid.UUID("0b9f8a3e-7f1f-4f43-9e0c-0a1b2c3d4e5f")


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "cereal_methods.reference",
        {},
        {"cereal_methods.reference": ["shop.Order", 5, "default"], "other": 1},
        {"other": ["shop.Order", 5, "default"]},
    ],
)
def test_other_values_are_not_a_plain_form(value: Any) -> None:
    assert reference_from_plain(value) is None


@pytest.mark.parametrize(
    "wire", [None, {}, [], "shop.Order", [5, 5, "default"], ["shop.Order", 5], ["shop.Order", 5, 1]]
)
def test_a_malformed_wire_form_is_refused(wire: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        reference_from_wire(wire)

    assert str(caught.value) == "The message holds a malformed reference."


@pytest.mark.parametrize(
    "key",
    [
        None,
        1.5,
        True,
        {},
        {"uuid": "no uuid"},
        {"uuid": 5},
        {"decimal": "x"},
        {"date": "28 February"},
        {"module": "os"},
        {"uuid": str(UUID), "date": "2026-02-28"},
    ],
)
def test_a_wire_key_that_cannot_be_read_is_refused(key: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        reference_from_wire(["shop.Order", key, "default"])

    assert str(caught.value) == "The message holds a primary key that cannot be read."


@pytest.mark.parametrize(
    "wire",
    [
        [5, [1], "default", "rows"],
        ["shop.Order", [1], 5, "rows"],
        ["shop.Order", [1], "default", "columns"],
        ["shop.Order", "12", "default", "rows"],
    ],
)
def test_a_malformed_wire_form_of_rows_is_refused(wire: Any) -> None:
    with pytest.raises(InvalidMessage, match="holds a malformed reference"):
        reference_from_wire(wire)


ORDER = ModelReference("shop.Order", 5, "default")


@pytest.mark.parametrize(
    "this",
    [
        stored(Order, pk=5),
        ORDER,
        ORDER.as_plain(),
        QuerySetReference("shop.Order", (5,), "default"),
        5,
        "5",
    ],
    ids=["instance", "reference", "plain form", "one row", "key", "text of a key"],
)
def test_a_row_is_named_in_many_ways(this: Any) -> None:
    assert as_reference(Order, this) == ORDER


def test_several_rows_stay_several() -> None:
    rows = QuerySetReference("shop.Order", (5, 6), "default")

    assert as_reference(Order, rows) is rows


@pytest.mark.parametrize(
    ("model", "key", "pk"),
    [
        (Document, str(UUID), UUID),
        (Document, {"uuid": str(UUID)}, UUID),
        (Line, [5, 2], (5, 2)),
        (Line, (5, "2"), (5, 2)),
    ],
)
def test_a_key_is_read_as_json_has_it(model: Any, key: Any, pk: Any) -> None:
    reference = reference_from_key(model, key)

    assert reference == ModelReference(model._meta.label, pk, "default")
    assert type(reference.pk) is type(pk)


@pytest.mark.parametrize(
    ("model", "key", "text"),
    [
        (Order, None, "None is not a primary key of shop.Order."),
        (Order, True, "True is not a primary key of shop.Order."),
        (Order, 1.5, "1.5 is not a primary key of shop.Order."),
        (Order, "five", "'five' is not a primary key of shop.Order."),
        (Order, b"5", "b'5' is not a primary key of shop.Order."),
        (Order, decimal.Decimal("5.5"), "5.5 is not a primary key of shop.Order."),
        (Line, 5, "5 is not a primary key of shop.Line."),
        (Line, (5, 2, 3), "(5, 2, 3) is not a primary key of shop.Line."),
        (Order, 10**1001, "A primary key of shop.Order cannot be an integer of 3,326 bits."),
    ],
)
def test_a_value_that_is_not_a_key_is_refused(model: Any, key: Any, text: str) -> None:
    with pytest.raises(UnsupportedKey) as caught:
        reference_from_key(model, key)

    assert str(caught.value) == text
