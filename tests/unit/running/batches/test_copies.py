"""A batch's arguments are copied, so that a row does not see the changes of another."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from cereal_methods.rows.lazy import LazyRow, LazyRows
from cereal_methods.rows.reference import ModelReference, QuerySetReference
from cereal_methods.running.batches.copies import copy_for_row, rows_in

ONE = ModelReference("shop.Order", 1, "default")
TWO = ModelReference("shop.Order", 2, "default")
BOTH = QuerySetReference("shop.Order", (1, 2), "default")


@dataclass
class Box:
    items: list[Any] = field(default_factory=list)


def test_containers_and_objects_are_copied() -> None:
    value = {"a": [1, (2, [3])], "box": Box([1])}

    copy = copy_for_row(value)

    assert copy == value
    assert copy["a"] is not value["a"]
    assert copy["a"][1][1] is not value["a"][1][1]  # type: ignore[index]
    assert copy["box"] is not value["box"]


def test_what_cannot_be_copied_is_shared() -> None:
    lock = threading.Lock()

    assert copy_for_row([lock]) == [lock]


def test_rows_are_lazy() -> None:
    one, both = copy_for_row([ONE, BOTH])

    assert type(one) is LazyRow
    assert type(both) is LazyRows
    assert [row.pk for row in both] == [1, 2]


def test_each_row_is_found_once() -> None:
    assert rows_in([[TWO, {"a": BOTH}], ONE, 5, Box()]) == [TWO, ONE]
