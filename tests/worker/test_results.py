"""Results, and what else is stored with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import chord, group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.celery import app
from tests.shop.models import Customer, Order
from tests.shop.tasks import count_to, number_of, numbers

from .conftest import POOLS
from .workers import Worker

SECONDS = 30


def test_a_result_arrives_fresh_and_costs_its_caller_one_query(worker: Worker) -> None:
    order, customer = Order.objects.create(), Customer.objects.create(name="Ada")
    result = order.itself.delay(order, named=[customer])
    worker.wait_for(result.ready, "the result")
    Order.objects.filter(pk=order.pk).update(number="changed")

    with CaptureQueriesContext(connection) as queries:
        first, second, named = result.get(timeout=SECONDS)

    assert first == order
    assert first is second
    assert first.number == "changed"
    assert named == {"named": [customer]}
    assert len(queries) == 2


def test_a_state_is_readable_when_the_result_is_gone(worker: Worker) -> None:
    order = Order.objects.create()
    result = order.itself.delay()
    worker.wait_for(result.ready, "the result")
    Order.objects.filter(pk=order.pk).delete()

    assert app.AsyncResult(result.id).state == "SUCCESS"
    with pytest.raises(Order.DoesNotExist):
        app.AsyncResult(result.id).get(timeout=SECONDS)


def test_autoretry_runs_on_a_row_fetched_again(worker: Worker) -> None:
    order = Order.objects.create()

    assert count_to.delay(order, 2).get(timeout=SECONDS) == 2

    order.refresh_from_db()
    assert order.tries == 3


def test_a_chord_of_instances_fetches_them_in_its_body_alone(worker: Worker) -> None:
    orders = [Order.objects.create(number=f"2026-{index}") for index in range(3)]

    result = chord([order.itself.s() for order in orders], numbers.s(orders[0])).delay()

    assert result.get(timeout=SECONDS) == ["2026-0", "2026-1", "2026-2", "2026-0"]
    # One for each method, one for all of what the body is given.
    assert [event["what"] for event in worker.events()].count("query") == 4


def test_a_group_of_methods_keeps_the_order_of_its_results(worker: Worker) -> None:
    orders = [Order.objects.create() for _ in range(4)]

    results = group(order.itself.s() for order in orders).delay().get(timeout=SECONDS)

    assert [row.pk for row, _ in results] == [order.pk for order in orders]


@pytest.fixture
def extended(start_worker: Callable[..., Worker], route: Callable[[Worker], None]) -> Worker:
    """A worker that stores arguments with the results, as JSON."""
    found = start_worker(*POOLS["prefork"], TEST_RESULT_EXTENDED="1", TEST_RESULT_SERIALIZER="json")
    route(found)
    return found


def stored(worker: Worker, task_id: str) -> dict[str, Any]:
    """Return the record in the result backend, when it is there."""
    key = app.backend.get_key_for_task(task_id)
    record: dict[str, Any] = json.loads(worker.wait_for(lambda: app.backend.get(key), "a record"))
    return record


def test_extended_results_work_with_a_json_backend(extended: Worker) -> None:
    order = Order.objects.create()
    shown = {"cereal_methods.reference": ["shop.Order", order.pk, "default"]}

    method = stored(extended, order.ship.delay("dhl", express=True).id)
    function = stored(extended, number_of.delay(order).id)

    assert (method["args"], method["kwargs"], method["name"], method["result"]) == (
        ["dhl"],
        {"express": True, "this": shown},
        "tests.shop.models.Order.ship",
        "shipped",
    )
    assert (function["args"], function["kwargs"]) == ([shown], {})
    assert function["result"] == order.number
