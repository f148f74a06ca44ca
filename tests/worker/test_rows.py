"""What tasks do whose rows are gone, locked, or in a database that is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import chord
from celery.states import IGNORED, RETRY
from django.db import connection, connections, transaction

from tests.shop.models import Customer, Line, Order

from .test_missing_rows import gone
from .workers import Worker

SECONDS = 30


def deleted() -> Order:
    """Return an order whose row is gone."""
    order = Order.objects.create(number="2026-4444")
    Order.objects.filter(pk=order.pk).delete()
    return order


def whats(worker: Worker) -> list[str]:
    return [event["what"] for event in worker.events()]


def test_a_discarded_task_is_ignored_and_logged(worker: Worker) -> None:
    order = deleted()

    result = order.ship_or_not.delay()

    worker.wait_for(lambda: result.state == IGNORED, "the state")
    worker.wait_for_log(f"{order.ship_or_not.name}[{result.id}] is discarded: {gone(order.pk)}")
    assert "begin" not in whats(worker)


def test_a_discarded_task_does_not_hold_up_its_chord(worker: Worker) -> None:
    order, other = deleted(), Order.objects.create(number="there")

    result = chord([order.ship_or_not.s(), other.trace.s()], other.trace.s()).delay()

    assert result.get(timeout=SECONDS) == ["there", [None, ["there"]]]


def test_a_function_is_called_before_the_task_is_discarded(worker: Worker) -> None:
    order = deleted()

    result = order.ship_or_note.delay()

    worker.wait_for(lambda: result.state == IGNORED, "the state")
    (missing,) = [event for event in worker.events() if event["what"] == "missing"]
    assert missing["error"] == gone(order.pk)


def test_the_policy_holds_for_other_rows_of_the_message(worker: Worker) -> None:
    order, other = Order.objects.create(), deleted()

    result = order.ship_or_note.delay(other)

    worker.wait_for(lambda: result.state == IGNORED, "the state")
    (missing,) = [event for event in worker.events() if event["what"] == "missing"]
    assert missing["error"] == gone(other.pk)


def test_a_row_that_is_committed_later_is_found_by_retry(worker: Worker) -> None:
    with transaction.atomic():
        order = Order.objects.create(number="2026-5555")
        result = order.ship_later.delay()
        worker.wait_for_log("fetches its rows again")

    assert result.get(timeout=SECONDS) == "2026-5555"
    assert whats(worker).count("begin") == 1


def test_retry_of_a_missing_row_ends(worker: Worker) -> None:
    order = deleted()

    result = order.ship_later.delay()

    with pytest.raises(Order.DoesNotExist) as caught:
        result.get(timeout=SECONDS)
    assert str(caught.value) == gone(order.pk)
    assert worker.log.read_text().count(f"{result.id}] fetches its rows again") == 10


@contextmanager
def unavailable() -> Iterator[None]:
    """Let nobody connect to the database, and end the workers' sessions."""
    name = connection.settings_dict["NAME"]
    with connections["archive"].cursor() as cursor:
        try:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            connection.close()
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.mark.parametrize("method", ["ship", "ship_as_json", "ship_locked"])
def test_a_database_that_is_away_is_waited_for(worker: Worker, method: str) -> None:
    if method == "ship_locked":
        order: Any = Order.objects.create()
        task, args = order.add_locked, []
    else:
        order = Order.objects.create()
        task, args = getattr(order, method), ["dhl"]

    with unavailable():
        result = task.apply_async(args)
        worker.wait_for(lambda: result.state == RETRY, "the retry")
        time.sleep(0.5)

    result.get(timeout=SECONDS)
    assert whats(worker).count("begin") == (0 if method == "ship_as_json" else 1)
    assert worker.log.read_text().count(f"{result.id}] fetches its rows again in") >= 2
    order.refresh_from_db()
    assert (order.carrier, order.tries) == (("", 1) if method == "ship_locked" else ("dhl", 0))


def test_related_rows_come_with_self(worker: Worker) -> None:
    customer = Customer.objects.create(name="Ada")
    order = Order.objects.create(customer=customer)
    Line.objects.create(order=order, position=7)

    assert order.summary.delay(order).get(timeout=SECONDS) == ["Ada", [7], True]

    seen = whats(worker)
    assert seen[: seen.index("begin")].count("query") == 2
    assert seen[seen.index("begin") :].count("query") == 0


def test_a_manager_decides_which_rows_are_there(worker: Worker) -> None:
    paid, unpaid = Order.objects.create(status="paid"), Order.objects.create(status="new")

    assert paid.ship_paid.delay().get(timeout=SECONDS) == paid.number
    result = unpaid.ship_paid.delay()
    worker.wait_for(lambda: result.state == IGNORED, "the state")


def test_a_nowait_task_comes_back_when_the_lock_is_free(worker: Worker) -> None:
    order = Order.objects.create()
    with transaction.atomic():
        Order.objects.select_for_update().get(pk=order.pk)
        result = order.add_nowait.delay()
        worker.wait_for(lambda: result.state == RETRY, "the retry")

    assert result.get(timeout=SECONDS) == "added"
    assert "is locked by another transaction" in worker.log.read_text()


def test_a_skip_locked_task_is_discarded(worker: Worker) -> None:
    order = Order.objects.create()
    with transaction.atomic():
        Order.objects.select_for_update().get(pk=order.pk)
        result = order.add_or_skip.delay()
        worker.wait_for(lambda: result.state == IGNORED, "the state")

    order.refresh_from_db()
    assert order.tries == 0
    assert order.add_or_skip.delay().get(timeout=SECONDS) == "added"


def test_class_methods_and_manager_methods_run(worker: Worker) -> None:
    order = Order.objects.create(number="one", status="paid")

    assert Order.number_all.delay(["two"], last=order).get(timeout=SECONDS) == [
        "Order",
        "two",
        "one",
    ]
    assert Order.task_of.delay().get(timeout=SECONDS) == ("Order tests.shop.models.Order.task_of")
    assert Order.paid.count_all.delay(more=1).get(timeout=SECONDS) == 2
    assert Order.paid.count_all.name == "tests.shop.models.Order.paid.count_all"


def test_a_message_sent_under_a_former_name_runs(worker: Worker) -> None:
    order = Order.objects.create(number="2026-6666")
    body = order.bill.s()

    for name in ("shop.bill", "shop.invoice", "shop.charge"):
        result = order.bill.task.app.send_task(
            name, body.args, body.kwargs, serializer="cereal-pickle"
        )
        assert result.get(timeout=SECONDS) == "2026-6666"
