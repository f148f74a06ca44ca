"""Rows that are fetched ahead: few enough to be current, and enough to save queries."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from cereal_methods.exceptions import ConnectionLost, UnknownModel
from cereal_methods.rows.reference import ModelReference
from cereal_methods.running.batches import window
from cereal_methods.running.batches.window import Window, key_forms, tables_of
from cereal_methods.running.policy import RowPolicy
from tests.shop.models import Customer, Document, Gift, Order

pytestmark = pytest.mark.django_db


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(window, "time", clock)
    return clock


def orders(many: int) -> list[ModelReference]:
    rows = Order.objects.bulk_create(Order(number=str(place)) for place in range(many))
    return [ModelReference("shop.Order", row.pk, "default") for row in rows]


def queries_of(window: Window, many: int, clock: Clock, seconds: float) -> int:
    """Take rows, each of which takes its method so long; return how many queries that needs."""
    with CaptureQueriesContext(connection) as queries:
        for position in range(many):
            window.take(position)
            clock.now += seconds
    return len(queries)


def test_hundreds_of_quick_rows_are_one_query(clock: Clock) -> None:
    assert queries_of(Window(RowPolicy(), orders(500)), 500, clock, 0.0001) == 1


def test_as_many_quick_rows_are_fetched_as_run_in_a_second(clock: Clock) -> None:
    assert queries_of(Window(RowPolicy(), orders(2000)), 2000, clock, 0.001) <= 4


def test_each_slow_row_is_fetched_by_itself(clock: Clock) -> None:
    assert queries_of(Window(RowPolicy(), orders(5)), 5, clock, 2.0) == 5


def test_no_row_is_older_than_a_second(clock: Clock) -> None:
    references = orders(40)
    window = Window(RowPolicy(), references)
    for position in range(40):
        Order.objects.update(number=f"{clock.now:.2f}")
        row = window.take(position)[references[position]]
        assert clock.now - float(row.number) < 1
        clock.now += 0.3 if position % 7 else 0.05


def test_dropped_rows_are_fetched_again(clock: Clock) -> None:
    references = orders(3)
    window = Window(RowPolicy(), references)
    window.take(0)
    Order.objects.filter(pk=references[1].pk).delete()

    window.drop()

    assert window.take(1) == {}
    assert references[2] in window.take(2)


def test_other_rows_are_fetched_once_and_shared_by_no_two_rows(clock: Clock) -> None:
    references = orders(3)
    customer = Customer.objects.create(name="Ada")
    other = ModelReference.of(customer)
    window = Window(RowPolicy(), references, [other])

    with CaptureQueriesContext(connection) as queries:
        seen: list[Any] = [window.take(position)[other] for position in range(3)]

    assert len(queries) == 2
    assert seen == [customer] * 3
    assert len({id(row) for row in seen}) == 3
    seen[0].name = "Bob"
    assert seen[1].name == "Ada"


def test_a_drop_before_the_first_query_changes_nothing(clock: Clock) -> None:
    references = orders(3)
    window = Window(RowPolicy(), references)

    window.drop()

    with CaptureQueriesContext(connection) as queries:
        for position in range(3):
            assert references[position] in window.take(position)
    assert len(queries) == 1


def test_a_slow_query_is_made_again_for_fewer_rows(clock: Clock) -> None:
    references = orders(30)
    asked: list[int] = []
    window = Window(RowPolicy(), references)

    def fetch(keys: list[Any]) -> dict[Any, Any]:
        asked.append(len(keys))
        clock.now += 0.6
        return {}

    with mock.patch.object(window, "_query", fetch):
        window.take(0)

    assert asked == [30, 3, 1]


def test_locked_rows_stay_current(clock: Clock) -> None:
    references = orders(3)
    window = Window(RowPolicy(), references)

    with CaptureQueriesContext(connection) as queries:
        window.lock([reference.pk for reference in references])
        for position in range(3):
            assert references[position] in window.take(position)
            clock.now += 100
    assert len(queries) == 1


def test_rows_that_cannot_be_fetched_fail_by_themselves() -> None:
    window = Window(RowPolicy(), [ModelReference("shop.Nothing", 5, "default")])

    assert window.take(0) == {}


@pytest.mark.parametrize(
    "error", [OperationalError("unavailable"), ConnectionLost("unavailable", "default")]
)
def test_an_unavailable_database_is_an_error(error: Exception) -> None:
    window = Window(RowPolicy(), orders(1))

    with mock.patch.object(RowPolicy, "_query", side_effect=error), pytest.raises(type(error)):
        window.take(0)


def test_other_rows_that_are_missing_are_left_to_each_row(clock: Clock) -> None:
    references = orders(1)
    window = Window(RowPolicy(), references, [ModelReference("shop.Customer", 5, "default")])

    assert list(window.take(0)) == references


def test_other_rows_of_an_unavailable_database_are_an_error(clock: Clock) -> None:
    ahead = Window(RowPolicy(), orders(1), [ModelReference("shop.Customer", 5, "default")])

    with (
        mock.patch.object(window, "fetch_all", side_effect=OperationalError("unavailable")),
        pytest.raises(OperationalError),
    ):
        ahead.take(0)


def test_many_other_rows_are_left_to_each_row(clock: Clock) -> None:
    references = orders(1)
    window = Window(RowPolicy(), references, orders(21))

    assert list(window.take(0)) == references


def test_values_that_are_not_instances_are_copied_too(clock: Clock) -> None:
    references, others = orders(1), orders(1)
    window = Window(RowPolicy(), references, others)
    shared = {others[0]: [1]}

    with mock.patch.object(window, "_query_shared", return_value=shared):
        copied = window.take(0)[others[0]]

    assert copied == [1]
    assert copied is not shared[others[0]]


def test_the_tables_of_parents_are_among_those_of_rows() -> None:
    gift = ModelReference("shop.Gift", 5, "default")

    assert tables_of(RowPolicy(), [gift, gift]) == {Gift._meta.db_table, Order._meta.db_table}


def test_related_rows_may_be_in_any_table() -> None:
    order = ModelReference("shop.Order", 5, "default")

    assert "" in tables_of(RowPolicy(select_related=("customer",)), [order])


def test_a_key_has_two_forms() -> None:
    document = Document()

    assert key_forms(ModelReference("shop.Document", document.pk, "default")) == (
        document.pk,
        document.pk.hex,
    )


def test_a_key_that_its_field_refuses_has_one_form() -> None:
    assert key_forms(ModelReference("shop.Document", "x", "default")) == ("x",)


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(UnknownModel):
        tables_of(RowPolicy(), [ModelReference("shop.Nothing", 5, "default")])
