"""What tasks do whose rows are gone, locked, or in a database that is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from celery import chain, chord, group
from celery.states import IGNORED, RETRY
from django.db import connection, connections, transaction

from tests.shop.models import Customer, Line, Order

from .test_missing_rows import gone
from .workers import Worker

#: Their rows are on several databases.
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

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


def test_a_function_decides_what_a_missing_row_gives(worker: Worker) -> None:
    order = deleted()

    result = order.ship_or_note.delay()

    assert result.get(timeout=SECONDS) == "noted"
    (missing,) = [event for event in worker.events() if event["what"] == "missing"]
    assert missing["error"] == gone(order.pk)


def test_the_policy_holds_for_other_rows_of_the_message(worker: Worker) -> None:
    order, other = Order.objects.create(), deleted()

    result = order.ship_or_note.delay(other)

    assert result.get(timeout=SECONDS) == "noted"
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


@pytest.mark.parametrize("name", ["ship_later_locked", "ship_later_locked_as_json"])
def test_retry_of_a_missing_row_ends_for_every_way_to_fetch(worker: Worker, name: str) -> None:
    order = deleted()

    result = getattr(order, name).delay()

    with pytest.raises(Order.DoesNotExist) as caught:
        result.get(timeout=SECONDS)
    assert str(caught.value) == gone(order.pk)
    assert worker.log.read_text().count(f"{result.id}] fetches its rows again") == 10


def test_other_rows_are_fetched_when_the_own_one_is_locked(worker: Worker) -> None:
    order, other = Order.objects.create(number="one"), Order.objects.create(number="two")
    with transaction.atomic():
        Order.objects.select_for_update().get(pk=order.pk)
        result = order.meet_locked.delay(other)
        worker.wait_for(lambda: any("FOR UPDATE" in e.get("sql", "") for e in worker.events()), "")
        with ThreadPoolExecutor(1) as pool:  # in a transaction of its own
            pool.submit(rename, other, "changed").result()

    assert result.get(timeout=SECONDS) == ["one", "changed"]


def rename(order: Order, number: str) -> None:
    Order.objects.filter(pk=order.pk).update(number=number)
    connection.close()


def test_the_locked_row_is_the_same_wherever_it_is(worker: Worker) -> None:
    order = Order.objects.create(number="one")

    result = order.meet_locked.delay(order, boxed={order: 1})

    assert result.get(timeout=SECONDS) == ["one", "one", True]


def test_a_locked_task_that_is_replaced_has_done_its_work(worker: Worker) -> None:
    order, other = Order.objects.create(number="one"), Order.objects.create(number="two")

    result = order.replaced_locked.delay(other)

    assert result.get(timeout=SECONDS) == ["two", "replaced"]
    # The other task may have ended before the transaction of this one.
    worker.wait_for(lambda: Order.objects.get(pk=order.pk).tries == 1, "the commit")


AFTER_IT: dict[str, Any] = {
    "method": lambda order: [order.trace.s()],
    "group and method": lambda order: [group(order.trace.s(), order.me.s()), order.trace.s()],
}


@pytest.mark.parametrize("after", AFTER_IT)
def test_a_discarded_task_in_a_chain_does_not_hold_up_its_chord(worker: Worker, after: str) -> None:
    order, other = deleted(), Order.objects.create(number="there")
    header = [chain(order.ship_or_not.s(), *AFTER_IT[after](other)), other.trace.s()]

    result = chord(header, other.trace.s()).delay()

    assert result.get(timeout=SECONDS) == ["there", [None, ["there"]]]


def test_a_connection_that_was_ended_is_replaced(start_worker: Any, route: Any) -> None:
    worker = start_worker("--pool=solo", TEST_REUSE="100")
    route(worker)
    order = Order.objects.create(number="one")
    for method in (order.trace, order.meet_locked, order.trace):
        assert method.delay().get(timeout=SECONDS) == ["one"]
        end_sessions()
        result = method.delay()
        assert result.get(timeout=SECONDS) == ["one"]


def end_sessions() -> None:
    name = connection.settings_dict["NAME"]
    with connections["archive"].cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
    connection.close()


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
