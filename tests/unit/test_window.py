"""Rows that are fetched ahead: few enough not to be old, and enough for one query to do."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cereal_methods import window
from cereal_methods.policies import RowPolicy
from cereal_methods.references import ModelReference
from cereal_methods.window import Window
from tests.shop.models import Customer, Order

pytestmark = pytest.mark.django_db


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(window, "time", found)
    return found


def orders(many: int) -> list[ModelReference]:
    rows = Order.objects.bulk_create(Order(number=str(place)) for place in range(many))
    return [ModelReference("shop.Order", row.pk, "default") for row in rows]


def queries_of(found: Window, many: int, clock: Clock, seconds: float) -> int:
    """Take rows, each of which takes its method so long; return how many queries that needs."""
    with CaptureQueriesContext(connection) as queries:
        for position in range(many):
            found.take(position)
            clock.now += seconds
    return len(queries)


def test_hundreds_of_quick_rows_are_one_query(clock: Clock) -> None:
    assert queries_of(Window(RowPolicy(), orders(500)), 500, clock, 0.0001) == 1


def test_quick_rows_are_fetched_as_many_as_are_done_in_a_second(clock: Clock) -> None:
    assert queries_of(Window(RowPolicy(), orders(2000)), 2000, clock, 0.001) <= 4


def test_each_slow_row_is_fetched_by_itself(clock: Clock) -> None:
    assert queries_of(Window(RowPolicy(), orders(5)), 5, clock, 2.0) == 5


def test_no_row_is_older_than_a_second(clock: Clock) -> None:
    references = orders(40)
    found = Window(RowPolicy(), references)
    for position in range(40):
        Order.objects.update(number=f"{clock.now:.2f}")
        row = found.take(position)[references[position]]
        assert clock.now - float(row.number) < 1
        clock.now += 0.3 if position % 7 else 0.05


def test_what_was_dropped_is_fetched_again(clock: Clock) -> None:
    references = orders(3)
    found = Window(RowPolicy(), references)
    found.take(0)
    Order.objects.filter(pk=references[1].pk).delete()

    found.drop()

    assert found.take(1) == {}
    assert references[2] in found.take(2)


def test_other_rows_are_fetched_once_and_shared_by_no_two_rows(clock: Clock) -> None:
    references = orders(3)
    customer = Customer.objects.create(name="Ada")
    other = ModelReference.of(customer)
    found = Window(RowPolicy(), references, [other])

    with CaptureQueriesContext(connection) as queries:
        seen: list[Any] = [found.take(position)[other] for position in range(3)]

    assert len(queries) == 2
    assert seen == [customer] * 3
    assert len({id(row) for row in seen}) == 3
    seen[0].name = "Bob"
    assert seen[1].name == "Ada"
