"""Waiting tasks, as ``celery inspect`` shows them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.celery import app
from tests.shop.models import Order
from tests.shop.tasks import Opaque, unwrap, wait

from .workers import Worker

SECONDS = 30


def inspect(worker: Worker, what: str) -> list[dict[str, Any]]:
    """Return one worker's answer to an inspection."""
    inspector = app.control.inspect(destination=[worker.name], timeout=10)
    reply = getattr(inspector, what)()[worker.name]
    requests: list[dict[str, Any]] = [entry.get("request", entry) for entry in reply]
    return requests


@pytest.fixture
def waiting(worker: Worker) -> Iterator[list[Any]]:
    """Two tasks that run, one that is reserved behind them, one for later."""
    if worker.options[0] == "--pool=solo":
        pytest.skip("the solo pool answers no inspection while a task runs")
    order = Order.objects.create()
    results = [wait.delay(order, 3) for _ in range(3)]
    results.append(order.ship.apply_async(["dhl"], countdown=5))
    results.append(unwrap.apply_async([Opaque(order)], countdown=5))
    begun: list[Any] = []
    worker.wait_for(lambda: begun.extend(worker.events()) or len(begun) >= 6, "two to begin")
    yield [order, *results]
    for result in results:
        result.get(timeout=SECONDS)


def test_active_reserved_and_scheduled_answer_without_a_query(
    worker: Worker, waiting: list[Any]
) -> None:
    order, *results = waiting
    shown = {"cereal_methods.reference": ["shop.Order", order.pk, "default"]}
    active = [{"args": [shown, 3], "kwargs": {}, "id": result.id} for result in results[:2]]

    def parts(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = [{key: request[key] for key in ("args", "kwargs", "id")} for request in requests]
        return sorted(found, key=lambda request: [r.id for r in results].index(request["id"]))

    assert parts(inspect(worker, "active")) == active
    assert parts(inspect(worker, "reserved")) == [{**active[0], "id": results[2].id}]
    assert parts(inspect(worker, "scheduled")) == [
        {"args": ["dhl"], "kwargs": {"this": shown}, "id": results[3].id},
        {"args": ["<tests.shop.tasks.Opaque>"], "kwargs": {}, "id": results[4].id},
    ]
    assert [event["what"] for event in worker.events()] == []
