"""Rows among the arguments of a call, under every serializer."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject

from cereal_methods import ModelReference
from tests.shop.models import (
    Country,
    Customer,
    Day,
    Document,
    Gift,
    Instant,
    Line,
    Order,
    PaidOrder,
    Price,
)

from ..bodies import NO_EMBED, call_body, decode, encode, stored, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


pytestmark = pytest.mark.django_db(databases=["default", "archive"])


def rows_of_every_key() -> list[Any]:
    """Return a row of each model, read back as a task's caller would have it."""
    noon = datetime.datetime(2026, 2, 28, 12, tzinfo=datetime.UTC)
    order = Order.objects.create()
    made = [
        order,
        Document.objects.create(),
        Country.objects.create(code="nl"),
        Day.objects.create(date=datetime.date(2026, 2, 28)),
        Instant.objects.create(at=noon),
        Price.objects.create(amount="9.90"),
        Line.objects.create(order=order, position=2),
        Gift.objects.create(),
        PaidOrder.objects.get(pk=order.pk),
        Order.objects.only("id").get(pk=order.pk),
        Order.objects.using("archive").create(),
    ]
    return [row.__class__._base_manager.using(row._state.db).get(pk=row.pk) for row in made]


def test_a_row_with_any_type_of_key_arrives(name: str) -> None:
    rows = rows_of_every_key()

    args, kwargs, _ = trip(name, rows)
    values, _ = unpack(args, kwargs)

    assert list(values) == rows
    assert [type(row) for row in values] == [type(row) for row in rows]
    assert [row._state.db for row in values] == ["default"] * 10 + ["archive"]


def test_decoding_runs_no_query_and_unpacking_one_for_each_model(
    name: str, django_assert_num_queries: Any
) -> None:
    order, customer = Order.objects.create(), Customer.objects.create(name="Ada")
    payload = encode(call_body([order, customer], {"other": order}), name)

    with django_assert_num_queries(0):
        args, kwargs, _ = decode(payload, name)
    with django_assert_num_queries(2):
        values, named = unpack(args, kwargs)

    assert values == (order, customer)
    assert named == {"other": order}


def test_encoding_runs_no_query(name: str, django_assert_num_queries: Any) -> None:
    order = Order.objects.only("id").get(pk=Order.objects.create().pk)

    with django_assert_num_queries(0):
        encode(call_body([order]), name)


def test_one_row_arrives_as_one_object_in_args_and_kwargs(name: str) -> None:
    order, same = Order.objects.create(), Order.objects.get()

    args, kwargs, _ = trip(name, [order, [same]], {"other": {"order": order}})
    (one, (two,)), named = unpack(args, kwargs)

    assert one is two is named["other"]["order"]
    assert one is not order


def test_one_row_is_written_once(name: str) -> None:
    payload = encode(call_body([stored(Order, pk=5)] * 3), name)

    text = payload if isinstance(payload, str) else payload.decode("latin-1")
    assert text.count("shop.Order") == 1


def test_two_hundred_orders_and_fifty_customers_cost_two_queries(
    name: str, django_assert_num_queries: Any
) -> None:
    orders = Order.objects.bulk_create(Order(number=str(number)) for number in range(200))
    customers = Customer.objects.bulk_create(Customer(name="Ada") for _ in range(50))
    pages = {
        "pages": [[{"order": order} for order in orders[at : at + 20]] for at in range(0, 200, 20)],
        "customers": {str(number): [customer] for number, customer in enumerate(customers)},
    }

    args, kwargs, _ = trip(name, [pages], {"again": orders})
    with django_assert_num_queries(2):
        (value,), named = unpack(args, kwargs)

    assert value == pages
    assert named == {"again": orders}
    assert value["pages"][3][7]["order"] is named["again"][67]


def test_arguments_without_instances_cost_no_query(
    name: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        args, kwargs, embed = trip(name, ["dhl", 1, None, 1.5, True], {"deep": [{"a": [1]}]})
        arguments = unpack(args, kwargs)

    assert arguments == (("dhl", 1, None, 1.5, True), {"deep": [{"a": [1]}]})
    assert embed == NO_EMBED


def test_the_order_of_keywords_and_of_keys_is_kept(name: str) -> None:
    args, kwargs, _ = trip(name, [{"b": 1, "a": 2}], {"d": 3, "c": 4})

    (value,), named = unpack(args, kwargs)

    if name == "cereal-yaml":  # which sorts keys, as kombu's yaml does
        assert (list(value), list(named)) == (["a", "b"], ["c", "d"])
    else:
        assert (list(value), list(named)) == (["b", "a"], ["d", "c"])


def test_text_in_any_language_arrives_unchanged(name: str) -> None:
    text = "Ω ünï\n\u2028 \N{PILE OF POO} \x7f \\ \" '"
    order = Order.objects.create()

    args, kwargs, _ = trip(name, [text, order], {"größe": text})

    assert unpack(args, kwargs) == ((text, order), {"größe": text})


def test_a_lazy_proxy_of_an_instance_arrives_as_the_instance(name: str) -> None:
    customer = Customer.objects.create(name="Ada")
    user = SimpleLazyObject(lambda: Customer.objects.get())

    args, kwargs, _ = trip(name, [user])
    (value,), _ = unpack(args, kwargs)

    assert type(value) is Customer
    assert value == customer


def test_a_row_read_from_a_replica_arrives_from_its_primary(name: str) -> None:
    order = Order.objects.create()
    order._state.db = "replica"

    args, kwargs, _ = trip(name, [order])
    (value,), _ = unpack(args, kwargs)

    assert value._state.db == "default"


def test_a_reference_as_an_argument_arrives_as_the_instance(name: str) -> None:
    order = Order.objects.create()

    args, kwargs, _ = trip(name, [ModelReference.of(order)])

    assert unpack(args, kwargs) == ((order,), {})


def test_self_in_its_plain_form_arrives_as_the_instance(name: str) -> None:
    order = Order.objects.create()
    this = ModelReference.of(order).as_plain()

    args, kwargs, _ = trip(name, ["dhl"], {"this": this, "express": True})

    assert unpack(args, kwargs) == (("dhl",), {"this": order, "express": True})
