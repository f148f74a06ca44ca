"""Querysets among the arguments, which travel as the keys of their rows."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from cereal_methods.exceptions import UnsupportedKey, UnsupportedValue
from cereal_methods.rows import reference
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.rows.wire import reference_from_wire
from tests.shop.models import Customer, Day, Line, Order, PaidOrder

from ..bodies import FORMATS, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


def test_a_queryset_is_the_keys_of_its_rows_in_its_order() -> None:
    first, second = Order.objects.create(number="b"), Order.objects.create(number="a")

    reference = QuerySetReference.of(Order.objects.order_by("number"))

    assert reference == QuerySetReference("shop.Order", (second.pk, first.pk), "default")


def test_a_queryset_costs_one_query_for_its_keys(django_assert_num_queries: Any) -> None:
    Order.objects.bulk_create(Order() for _ in range(3))

    with django_assert_num_queries(1) as queries:
        QuerySetReference.of(Order.objects.order_by("pk"))

    assert queries.captured_queries[0]["sql"].startswith('SELECT "shop_order"."id" AS')


def test_a_queryset_that_was_evaluated_costs_no_query(django_assert_num_queries: Any) -> None:
    Order.objects.bulk_create(Order() for _ in range(3))
    queryset = Order.objects.order_by("pk")
    pks = tuple(order.pk for order in queryset)

    with django_assert_num_queries(0):
        assert QuerySetReference.of(queryset).pks == pks


def test_the_wire_form_of_a_queryset_is_read_back_equal() -> None:
    days = [datetime.date(2026, 2, 28), datetime.date(2026, 3, 1)]
    Day.objects.bulk_create(Day(date=day) for day in days)

    reference = QuerySetReference.of(Day.objects.order_by("date"))

    assert reference.pks == tuple(days)
    assert reference_from_wire(reference.as_wire()) == reference


def test_a_queryset_of_composite_keys_has_tuples() -> None:
    order = Order.objects.create()
    Line.objects.create(order=order, position=1)
    Line.objects.create(order=order, position=2)

    reference = QuerySetReference.of(Line.objects.order_by("position"))

    assert reference.pks == ((order.pk, 1), (order.pk, 2))
    assert reference_from_wire(reference.as_wire()) == reference


def test_a_queryset_of_another_database_is_fetched_from_there() -> None:
    Order.objects.using("archive").create()

    assert QuerySetReference.of(Order.objects.using("archive")).using == "archive"


def test_a_queryset_of_a_proxy_keeps_its_class() -> None:
    Order.objects.create()

    assert QuerySetReference.of(PaidOrder.objects.all()).model is PaidOrder


def test_an_empty_queryset_arrives_as_an_empty_list() -> None:
    args, kwargs, _ = trip("cereal-json", [Order.objects.none()])

    assert unpack(args, kwargs) == (([],), {})


def test_the_repr_counts_the_rows() -> None:
    assert repr(QuerySetReference("shop.Order", (5, 6, 7), "default")) == "<shop.Order 3 rows>"


@pytest.mark.parametrize("name", FORMATS)
def test_a_queryset_arrives_as_a_list_of_fresh_rows_in_its_order(
    name: str, django_assert_num_queries: Any
) -> None:
    for number in "cab":
        Order.objects.create(number=number)

    args, kwargs, _ = trip(name, [Order.objects.order_by("number")], {"limit": 3})
    Order.objects.filter(number="a").update(status="paid")

    with django_assert_num_queries(1):
        (orders,), named = unpack(args, kwargs)
    assert type(orders) is list
    assert [(order.number, order.status) for order in orders] == [
        ("a", "paid"),
        ("b", "new"),
        ("c", "new"),
    ]
    assert named == {"limit": 3}


@pytest.mark.parametrize("name", FORMATS)
def test_a_queryset_arrives_without_the_rows_that_were_deleted(name: str) -> None:
    for number in "abc":
        Order.objects.create(number=number)
    args, kwargs, _ = trip(name, [Order.objects.order_by("number")])

    Order.objects.filter(number="b").delete()

    (orders,), _ = unpack(args, kwargs)
    assert [order.number for order in orders] == ["a", "c"]


def test_a_row_of_two_querysets_arrives_as_one_object(django_assert_num_queries: Any) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip(
        "cereal-pickle", [Order.objects.all(), order, Order.objects.filter(pk=order.pk)]
    )

    with django_assert_num_queries(1):
        (one, two, three), _ = unpack(args, kwargs)

    assert one[0] is two
    assert three[0] is two


@pytest.mark.parametrize(
    "values", [Order.objects.values("pk"), Order.objects.values_list("pk", flat=True)]
)
def test_a_queryset_of_values_is_refused(values: Any) -> None:
    with pytest.raises(UnsupportedKey) as caught:
        QuerySetReference.of(values)

    assert str(caught.value) == (
        "A values() or values_list() queryset of shop.Order does not hold model instances. "
        "Pass list(queryset) to send its values as they are now."
    )


@pytest.mark.parametrize("is_evaluated", [False, True])
def test_a_queryset_of_too_many_rows_is_refused(
    monkeypatch: pytest.MonkeyPatch, is_evaluated: bool
) -> None:
    monkeypatch.setattr(reference, "MAX_QUERYSET_ROWS", 3)
    Customer.objects.bulk_create(Customer(name="Ada") for _ in range(4))
    queryset = Customer.objects.all()
    if is_evaluated:
        len(queryset)

    with pytest.raises(UnsupportedValue) as caught:
        QuerySetReference.of(queryset)

    assert str(caught.value) == (
        "A queryset of more than 3 rows of shop.Customer is too large for one message. Send a "
        "method for each row with bulk_delay, or the task for slices of the queryset."
    )


def test_a_queryset_of_the_most_rows_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MAX_QUERYSET_ROWS", 3)
    Customer.objects.bulk_create(Customer(name="Ada") for _ in range(3))

    assert len(QuerySetReference.of(Customer.objects.all()).pks) == 3


def test_ten_thousand_rows_may_be_sent() -> None:
    assert reference.MAX_QUERYSET_ROWS == 10_000


def test_only_one_row_above_the_limit_is_read(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(reference, "MAX_QUERYSET_ROWS", 3)
    Customer.objects.bulk_create(Customer(name="Ada") for _ in range(9))

    with (
        django_assert_num_queries(1) as queries,
        pytest.raises(UnsupportedValue, match="more than 3 rows"),
    ):
        QuerySetReference.of(Customer.objects.all())

    assert queries.captured_queries[0]["sql"].endswith("LIMIT 4")
