"""Dispatch in transactions: nothing too early, nothing that was rolled back."""

from __future__ import annotations

import asyncio
import threading
from time import sleep
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery import chain, chord, group
from celery.result import GroupResult
from django.db import connections, transaction

from cereal_methods import apply_on_commit
from tests.celery import app
from tests.shop.models import Order

from .workers import Worker

#: Their rows are on several databases.
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

SECONDS = 30


def begun(worker: Worker) -> int:
    return [event["what"] for event in worker.events()].count("begin")


def waiting(worker: Worker) -> int:
    """Return how many messages are in the worker's queue, once it has had time to take them."""
    assert app.control.inspect(destination=[worker.name], timeout=10).ping()
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.llen(worker.queue))


def test_nothing_is_sent_before_the_commit(worker: Worker) -> None:
    with transaction.atomic():
        order = Order.objects.create(number="one")
        result = order.trace.delay_on_commit(1)
        assert result.id
        assert waiting(worker) == 0
        assert begun(worker) == 0

    assert result.get(timeout=SECONDS) == ["one", 1]


def test_nothing_is_sent_after_a_rollback(worker: Worker) -> None:
    order = Order.objects.create()
    results: list[Any] = []
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        results.append(order.trace.delay_on_commit())
        results.append(order.trace.apply_async_on_commit([1], countdown=0))
        results.append(order.ship_on_commit.delay())
        results.append(apply_on_commit(chain(order.trace.s(), order.trace.s())))
        1 / 0  # noqa: B018

    order.trace.delay("last").get(timeout=SECONDS)
    assert begun(worker) == 1
    assert {result.state for result in results} == {"PENDING"}


def test_a_savepoint_that_is_rolled_back_takes_its_tasks_along(worker: Worker) -> None:
    order = Order.objects.create(number="one")
    with transaction.atomic():
        first = order.trace.delay_on_commit("kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            second = order.trace.delay_on_commit("lost")
            1 / 0  # noqa: B018

    assert first.get(timeout=SECONDS) == ["one", "kept"]
    assert second.state == "PENDING"
    assert begun(worker) == 1


def test_on_commit_makes_delay_wait(worker: Worker) -> None:
    with transaction.atomic():
        order = Order.objects.create(number="one")
        result = order.ship_on_commit.delay()
        assert waiting(worker) == 0
        assert begun(worker) == 0

    assert result.get(timeout=SECONDS) == "one"


def test_the_transaction_is_that_of_the_rows_database(worker: Worker) -> None:
    with transaction.atomic(using="archive"):
        order = Order.objects.using("archive").create(number="old")
        with transaction.atomic():
            result = order.trace.delay_on_commit()
            chained = apply_on_commit(chain(order.trace.s(), order.trace.s()))
        assert waiting(worker) == 0
        assert begun(worker) == 0

    assert result.get(timeout=SECONDS) == ["old"]
    assert chained.get(timeout=SECONDS) == ["old", ["old"]]


def test_a_row_read_from_a_replica_is_fetched_from_its_primary(worker: Worker) -> None:
    order = Order.objects.create(number="one")
    replica = Order.objects.using("replica").get(pk=order.pk)

    with transaction.atomic():
        result = replica.trace.delay_on_commit()
        assert begun(worker) == 0
    assert result.get(timeout=SECONDS) == ["one"]

    assert {event["alias"] for event in worker.events() if event["what"] == "query"} == {"default"}


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda a: chain(a.trace.s(), a.trace.s()), ["one", ["one"]]),
        (lambda a: group(a.trace.s(1), a.trace.s(2)), [["one", 1], ["one", 2]]),
        (lambda a: chord([a.trace.s(), a.trace.s()], a.trace.s()), ["one", [["one"], ["one"]]]),
        (lambda a: a.trace.s(3), ["one", 3]),
    ],
)
def test_a_canvas_waits_and_its_result_is_known(worker: Worker, build: Any, expected: Any) -> None:
    with transaction.atomic():
        order = Order.objects.create(number="one")
        result = apply_on_commit(build(order))
        assert result.id
        assert begun(worker) == 0

    # Celery 5.5 waits in vain in get() of a group's result that was frozen before.
    get = result.join if isinstance(result, GroupResult) else result.get
    assert get(timeout=SECONDS) == expected


def test_wrong_arguments_are_refused_at_the_call(worker: Worker) -> None:
    order = Order.objects.create()

    with transaction.atomic(), pytest.raises(TypeError, match="missing 1 required"):
        order.ship.delay_on_commit()


def test_a_robust_failure_keeps_no_other_callback_from_running(worker: Worker) -> None:
    order = Order.objects.create(number="one")
    with transaction.atomic():
        order.trace.apply_async_on_commit([threading.Lock()], robust=True)
        result = order.trace.delay_on_commit()

    assert result.get(timeout=SECONDS) == ["one"]


def test_coroutines_can_send(worker: Worker) -> None:
    order = Order.objects.create(number="one")

    async def send() -> list[Any]:
        results = [
            await order.trace.adelay(1),
            await order.trace.aapply_async([2]),
            await order.trace.adelay_on_commit(3),
            await order.trace.aapply_async_on_commit([4]),
        ]
        await sync_to_async(connections.close_all)()  # as a request's end does
        return results

    results = asyncio.run(send())

    assert [result.get(timeout=SECONDS)[1] for result in results] == [1, 2, 3, 4]


def create_and(send: Any, many: int = 500, seconds: float = 0.01) -> list[Any]:
    """Create rows in transactions that stay open for a while after they were sent."""
    results = []
    for index in range(many):
        with transaction.atomic():
            order = Order.objects.create(number=str(index))
            results.append(send(order))
            sleep(seconds)
    return results


def test_five_hundred_rows_are_there_on_commit(crowd: Worker) -> None:
    results = create_and(lambda order: order.trace.delay_on_commit())

    assert [result.get(timeout=60) for result in results] == [[str(i)] for i in range(500)]


def test_five_hundred_rows_are_there_with_retry(crowd: Worker) -> None:
    results = create_and(lambda order: order.ship_later.delay())

    assert [result.get(timeout=60) for result in results] == [str(i) for i in range(500)]


def test_without_either_rows_are_missing(crowd: Worker) -> None:
    results = create_and(lambda order: order.trace.delay(), many=50, seconds=0.1)

    outcomes = [result.get(timeout=60, propagate=False) for result in results]
    assert any(isinstance(outcome, Order.DoesNotExist) for outcome in outcomes)
