"""The rows of a message, as its headers and its keyword ``this`` name them."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods.results.messages import (
    is_batch,
    is_bulk,
    keys_of,
    part_of,
    references_of,
    rows_in,
)
from cereal_methods.rows.container import ArgumentContainer
from cereal_methods.rows.reference import ModelReference, QuerySetReference

ONE = ModelReference("shop.Order", 7, "default")
ORDERS = QuerySetReference("shop.Order", (7, 8, 9), "default")


class Keywords(ArgumentContainer):
    def __init__(self, reference: Any) -> None:
        self.reference = reference

    @property
    def own_reference(self) -> Any:
        if isinstance(self.reference, Exception):
            raise self.reference
        return self.reference


@pytest.mark.parametrize("container", [Keywords, lambda reference: {"this": reference.as_plain()}])
@pytest.mark.parametrize("reference", [ONE, ORDERS])
def test_rows_are_those_of_this(container: Any, reference: Any) -> None:
    assert rows_in(container(reference), {}) == reference


def test_a_header_names_a_part_of_them() -> None:
    assert rows_in(Keywords(ORDERS), {"cereal_rows": [1, 3]}) == part_of(
        ORDERS, {"cereal_rows": [1, 3]}
    )
    assert part_of(ORDERS, {"cereal_rows": [1, 3]}).pks == (8, 9)


@pytest.mark.parametrize("header", [None, [], [1], ["1", 2], 5])
def test_another_header_names_no_rows(header: Any) -> None:
    assert part_of(ORDERS, {"cereal_rows": header}) is ORDERS


def test_a_single_row_of_several_is_a_reference_to_it() -> None:
    assert rows_in(Keywords(QuerySetReference("shop.Order", (7,), "default")), {}) == ONE


def test_a_part_of_one_row_is_a_part() -> None:
    rows = rows_in(Keywords(ORDERS), {"cereal_rows": [0, 1]})

    assert rows == QuerySetReference("shop.Order", (7,), "default")


@pytest.mark.parametrize(
    "kwargs", [None, {}, {"this": 5}, Keywords(None), Keywords(ValueError("unreadable"))]
)
def test_other_messages_have_no_rows(kwargs: Any) -> None:
    assert rows_in(kwargs, {}) is None


@pytest.mark.parametrize(
    ("rows", "header", "expected"),
    [
        (ORDERS, None, True),
        (ONE, None, False),
        (ONE, [0, 1], True),
        (None, [0, 1], False),
    ],
)
def test_a_batch_has_several_rows_or_is_a_part_of_one(
    rows: Any, header: Any, expected: bool
) -> None:
    assert is_batch(rows, {"cereal_rows": header}) is expected


def test_each_row_has_a_reference_and_a_key() -> None:
    assert references_of(ONE) == [ONE]
    assert references_of(ORDERS)[0] == ONE
    assert keys_of(ONE) == [7]
    assert keys_of(ORDERS) == [7, 8, 9]


@pytest.mark.parametrize(("stamps", "expected"), [(["cereal_bulk"], True), (None, False)])
def test_a_bulk_s_message_has_its_stamp(stamps: Any, expected: bool) -> None:
    class Request:
        stamped_headers = stamps

    assert is_bulk(Request()) is expected
