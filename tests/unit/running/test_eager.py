"""CELERY_TASK_ALWAYS_EAGER and ``apply``: the same rows, queries and errors as in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import chain
from celery.result import EagerResult
from django.db import connection, transaction

from cereal_methods import task
from tests.shop.models import Customer, Order

pytestmark = [
    pytest.mark.django_db(databases=["default", "archive"]),
    pytest.mark.usefixtures("eager"),
]


@task(name="shop.rows")
def rows(*args: Any, **kwargs: Any) -> Any:
    """Return the arguments."""
    return [*args, kwargs]


# Every way to run a method or a function here and now, with the same arguments.
WAYS: dict[str, Callable[..., EagerResult[Any]]] = {
    "delay": lambda order, *args, **kwargs: order.itself.delay(*args, **kwargs),
    "apply_async": lambda order, *args, **kwargs: order.itself.apply_async(args, kwargs),
    "apply": lambda order, *args, **kwargs: order.itself.apply(args, kwargs),
    "on the class": lambda order, *args, **kwargs: Order.itself.delay(order, *args, **kwargs),
    "signature": lambda order, *args, **kwargs: order.itself.s(*args, **kwargs).apply_async(),
    "apply of a signature": lambda order, *args, **kwargs: order.itself.s(*args, **kwargs).apply(),
    "function": lambda order, *args, **kwargs: rows.delay(order, *args, **kwargs),
    "apply of a function": lambda order, *args, **kwargs: rows.apply((order, *args), kwargs),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., EagerResult[Any]]:
    """Each way in turn."""
    return WAYS[request.param]


@pytest.fixture
def order() -> Order:
    """An order that has changed since it was read."""
    order = Order.objects.create(number="before")
    Order.objects.update(number="after")
    return order


def test_rows_are_fresh(way: Any, order: Order) -> None:
    fetched, argument, named = way(order, [order], k=order).get()

    assert [row.number for row in (fetched, argument[0], named["k"])] == ["after"] * 3
    assert order.number == "before"


def test_one_row_is_one_object(way: Any, order: Order) -> None:
    fetched, again, nested, named = way(order, order, {"a": (order,)}, k=[order]).get()

    assert fetched is again is nested["a"][0] is named["k"][0]
    assert fetched is not order


def test_each_model_and_database_costs_one_query(
    way: Any, order: Order, django_assert_num_queries: Any
) -> None:
    customers = [Customer.objects.create(name=name) for name in "abc"]

    with django_assert_num_queries(2):
        rows = way(order, customers, k=[order, *customers]).get()

    assert rows[1] == customers


def test_the_database_is_that_of_the_row(way: Any) -> None:
    order = Order.objects.using("archive").create(number="archived")

    (fetched, _) = way(order).get()

    assert fetched._state.db == "archive"


def test_a_queryset_arrives_as_a_list(way: Any, order: Order) -> None:
    (_, orders, _) = way(order, Order.objects.all()).get()

    assert type(orders) is list
    assert [row.number for row in orders] == ["after"]


def test_a_retry_runs_on_a_row_fetched_again(order: Order) -> None:
    assert order.retry_until.delay(2).get()[0] == 2


def test_on_commit_does_not_wait(order: Order) -> None:
    with transaction.atomic():
        result = order.ship_on_commit.delay()

        assert type(result) is EagerResult
        assert result.get() == "after"


def test_delay_on_commit_waits(order: Order, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        order.ship.delay_on_commit("dhl")

    (send,) = callbacks
    assert Order.objects.get().carrier == ""
    send()
    assert Order.objects.get().carrier == "dhl"


@pytest.mark.parametrize("serializer", ["cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_the_serializer_that_is_asked_for_carries_the_message(
    order: Order, serializer: str
) -> None:
    result = order.meet.apply_async((order,), serializer=serializer)

    assert result.get() == ["after", "after"]


def test_celerys_own_json_carries_self(order: Order) -> None:
    assert order.ship_as_json.delay("dhl").get() == "dhl"


def test_a_result_is_the_fetched_instance(order: Order, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        fetched, _, _ = order.itself.delay(1).get()

    assert fetched == order
    assert fetched.number == "after"


def test_a_chain_fetches_in_every_step(order: Order) -> None:
    assert chain(order.me.s(), order.meet.s()).delay().get() == ["after", "after"]


def test_a_link_runs_on_a_row(order: Order) -> None:
    order.trace.apply_async(link=order.ship.si("dhl"))

    assert Order.objects.get().carrier == "dhl"


def test_the_connection_stays_open(order: Order) -> None:
    before = connection.connection

    order.trace.delay()

    assert connection.connection is before


def test_a_method_without_arguments_fetches_its_row_once(
    order: Order, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        order.me.delay()
