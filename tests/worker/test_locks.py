"""Methods under ``select_for_update``, with ten tasks at once on one row."""

from __future__ import annotations

from typing import Any

from tests.shop.models import Order

from .workers import Worker

MANY = 1000


def run(worker: Worker, method: Any) -> None:
    results = [method.delay() for _ in range(MANY)]
    for result in results:
        result.get(timeout=100)


def test_no_update_is_lost_under_lock(crowd: Worker) -> None:
    order = Order.objects.create()

    run(crowd, order.add_locked)

    order.refresh_from_db()
    assert order.tries == MANY


def test_updates_are_lost_without(crowd: Worker) -> None:
    order = Order.objects.create()

    run(crowd, order.add)

    order.refresh_from_db()
    assert order.tries < MANY
