"""Where and when a worker fetches."""

from __future__ import annotations

from typing import Any

import pytest
from celery import chain, chord

from cereal_methods import CEREAL_JSON
from tests.shop.models import Customer, Order
from tests.shop.tasks import number_of, plain, total

from .workers import Worker

SECONDS = 30


def before_begin(events: list[dict[str, Any]]) -> list[str]:
    """Return what happened before the task's first line."""
    whats = [event["what"] for event in events]
    return whats[: whats.index("begin")]


def test_a_method_costs_one_query_before_its_first_line(worker: Worker) -> None:
    order = Order.objects.create()

    assert order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"

    order.refresh_from_db()
    assert order.carrier == "dhl"
    assert before_begin(worker.events()) == ["session", "query"]


def test_a_task_opens_one_database_session(worker: Worker) -> None:
    orders = [Order.objects.create() for _ in range(4)]

    for order in orders:
        order.ship.delay("dhl").get(timeout=SECONDS)

    whats = [event["what"] for event in worker.events()]
    assert whats.count("session") == 4
    assert whats.count("begin") == 4


def test_the_consumer_opens_no_database_session(worker: Worker) -> None:
    order = Order.objects.create()

    results = [order.ship.delay("dhl") for _ in range(5)]
    for result in results:
        result.get(timeout=SECONDS)

    events = worker.events()
    assert [event["what"] for event in events].count("begin") == 5
    if worker.options[0] == "--pool=prefork":
        assert worker.pid not in {event["pid"] for event in events}
    else:  # one process: what happens, happens in the threads of tasks, after they began
        tasks = {event["thread"] for event in events if event["what"] == "begin"}
        assert {event["thread"] for event in events} == tasks


def test_two_hundred_orders_and_fifty_customers_cost_two_queries(worker: Worker) -> None:
    orders = Order.objects.bulk_create(Order() for _ in range(200))
    customers = Customer.objects.bulk_create(Customer(name="Ada") for _ in range(50))
    data = {
        "pages": [orders[:120], orders[120:]],
        "customers": [{"customer": customer} for customer in customers],
    }

    assert total.delay(data).get(timeout=SECONDS) == [200, 50, 2]

    assert before_begin(worker.events()) == ["session", "query", "query"]


def test_a_chain_of_ten_methods_runs_ten_fetches(worker: Worker) -> None:
    order = Order.objects.create()

    result = chain(*(order.count.si() for _ in range(10))).delay()

    assert result.get(timeout=SECONDS) == 10
    queries = [event["sql"] for event in worker.events() if event["what"] == "query"]
    assert [sql.split()[0] for sql in queries].count("SELECT") == 10


def test_a_chord_of_a_hundred_methods_and_one_in_its_body_runs_101_fetches(worker: Worker) -> None:
    orders = Order.objects.bulk_create(Order(number=str(number)) for number in range(101))

    result = chord([order.trace.si() for order in orders[:100]], orders[100].trace.si()).delay()

    assert result.get(timeout=SECONDS) == ["100"]
    whats = [event["what"] for event in worker.events()]
    assert [whats.count(what) for what in ("begin", "query", "session")] == [101, 101, 101]


def test_a_chord_of_a_hundred_with_an_instance_in_its_body_fetches_that_once(
    worker: Worker,
) -> None:
    order = Order.objects.create()

    # Each message of the header carries the body, and so must be able to carry an instance.
    header = [plain.si(1).set(serializer=CEREAL_JSON) for _ in range(100)]
    result = chord(header, number_of.si(order)).delay()

    assert result.get(timeout=SECONDS) == order.number
    assert before_begin(worker.events()) == ["session", "query"]


def test_a_chained_method_takes_the_result_after_self(worker: Worker) -> None:
    first, second = Order.objects.create(), Order.objects.create()

    result = chain(first.count.s(), second.then.s()).delay()

    assert result.get(timeout=SECONDS) == (second.pk, 1)


def test_a_row_changed_after_dispatch_arrives_as_it_is_now(worker: Worker) -> None:
    order = Order.objects.create(tries=1)

    result = order.count.apply_async(countdown=1)
    Order.objects.filter(pk=order.pk).update(tries=41)

    assert result.get(timeout=SECONDS) == 42


@pytest.mark.parametrize("method", ["retry_until"])
def test_retry_runs_on_a_row_fetched_again(worker: Worker, method: str) -> None:
    order = Order.objects.create()

    result = order.retry_until.delay(2)

    assert result.get(timeout=SECONDS) == (2, result.id)
