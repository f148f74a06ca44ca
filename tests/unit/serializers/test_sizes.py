"""The size of messages in bytes, and their cost in queries."""

from __future__ import annotations

import datetime
import pickle
from typing import Any

import pytest
from kombu.serialization import dumps

from tests.shop import tasks
from tests.shop.models import Customer, Order

from ..bodies import FORMATS, call_body, encode, stored

KOMBU = {
    "cereal-pickle": "pickle",
    "cereal-json": "json",
    "cereal-yaml": "yaml",
    "cereal-msgpack": "msgpack",
}

PLACED = datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)


def order(pk: int = 5) -> Order:
    """Return an order with ten fields that all have a value."""
    return stored(Order, pk=pk, customer_id=7, carrier="dhl", placed_at=PLACED, note="Ring twice")


def size(value: Any) -> int:
    """Return how many bytes a payload has."""
    return len(value.encode() if isinstance(value, str) else value)


def plain_size(args: list[Any], name: str) -> int:
    """Return how many bytes the body has that kombu itself writes."""
    return size(dumps(call_body(args), KOMBU[name])[2])


def method_size(row: Order, args: list[Any], name: str) -> int:
    """Return how many bytes the body of a method has."""
    this = {"cereal_methods.reference": [row._meta.label, row.pk, "default"]}
    return size(encode(call_body(args, {"this": this}), name))


#: How many bytes more a method may have than a task of one's own around a primary key.
MORE = {"cereal-pickle": 80, "cereal-json": 20, "cereal-yaml": 20, "cereal-msgpack": 50}


@pytest.mark.parametrize("name", FORMATS)
def test_a_method_is_little_more_than_a_primary_key(name: str) -> None:
    by_hand = plain_size([5, "dhl"], name)

    assert method_size(order(), ["dhl"], name) <= by_hand + MORE[name]


def test_a_message_is_a_third_of_the_pickled_instance() -> None:
    whole = size(dumps(call_body([order(), "dhl"]), "pickle")[2])

    assert size(encode(call_body([order(), "dhl"]), "cereal-pickle")) <= whole / 3
    assert method_size(order(), ["dhl"], "cereal-pickle") <= whole / 3


def test_a_message_of_many_rows_is_less_than_half_of_their_pickle() -> None:
    orders = [order(pk) for pk in range(1, 201)]

    assert size(encode(call_body([orders]), "cereal-pickle")) <= len(pickle.dumps(orders)) / 2


@pytest.mark.parametrize("name", FORMATS)
def test_repeating_a_row_costs_only_its_index(name: str) -> None:
    once = size(encode(call_body([[order()]]), name))
    ten_times = size(encode(call_body([[order() for _ in range(10)]]), name))

    assert (ten_times - once) / 9 <= 16


@pytest.mark.parametrize("name", FORMATS)
def test_the_fields_of_a_row_add_nothing(name: str) -> None:
    long = stored(Order, pk=5, note="x" * 200)

    assert encode(call_body([long]), name) == encode(call_body([order()]), name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_message_of_plain_values_is_little_more_than_kombus(name: str) -> None:
    args = ["dhl", 5, [1, 2, 3], {"a": None}]

    assert size(encode(call_body(args), name)) <= plain_size(args, name) + 40


@pytest.mark.django_db
@pytest.mark.parametrize("serializer", FORMATS)
def test_two_hundred_orders_and_fifty_customers_are_two_queries(
    serializer: str, eager: None, django_assert_num_queries: Any
) -> None:
    orders = Order.objects.bulk_create([Order() for _ in range(200)])
    customers = Customer.objects.bulk_create([Customer(name=str(n)) for n in range(50)])
    data = {
        "pages": [orders[n : n + 20] for n in range(0, 200, 20)],
        "customers": [{"customer": customer, "since": [customer]} for customer in customers],
    }

    with django_assert_num_queries(2):
        total = tasks.total.apply_async((data,), serializer=serializer).get()

    assert total == [200, 50, 2]
