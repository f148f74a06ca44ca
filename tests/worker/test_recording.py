"""What a recorder runs, and what a worker runs, are the same: results, states, rows and events."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.states import IGNORED, READY_STATES
from django.db import transaction
from django.test import TestCase

from cereal_methods.testing import record_tasks
from tests.shop.models import Order
from tests.shop.tasks import labelled, mourn, total

from .workers import Worker

SECONDS = 30

Results = list[Any]


def missing(order: Order, method: Any, *args: Any) -> Results:
    result = method.apply_async(args, countdown=0.5)
    Order.objects.filter(pk=order.pk).delete()
    return [result]


#: Calls of methods of two orders, of which the second is bad.
SCENARIOS: dict[str, Callable[[Order, Order], Results]] = {
    "a method": lambda a, b: [a.ship.delay("dhl", express=True), a.ship_as_json.delay("ups")],
    "instances": lambda a, b: [a.me.delay(), a.meet.delay(b, a), a.itself.delay([b], x={"y": a})],
    "a function": lambda a, b: [total.delay({"pages": [[a, b]], "customers": []})],
    "a chain": lambda a, b: [chain(a.ship.s("dhl"), b.trace.s(1), labelled.s(this=a))()],
    "a group": lambda a, b: list(group(a.trace.s(1), b.trace.s(2)).delay().results),
    "a chord": lambda a, b: [chord([a.trace.s(1), b.me.s()], a.trace.s())()],
    "links": lambda a, b: [a.ship.apply_async(["dhl"], link=[a.count.si(), b.count.si()])],
    "a failure": lambda a, b: [a.fail.apply_async(link_error=b.on_error.s())],
    "a failure with a function": lambda a, b: [a.fail.apply_async(link_error=mourn.s(order=b))],
    "a failure in a chain": lambda a, b: [chain(a.fail.s(), b.trace.s())().parent],
    "a failure in a chord": lambda a, b: [chord([a.fail.s(), b.trace.s()], a.trace.s())()],
    "retries": lambda a, b: [a.fail_once.delay(), b.fail_once.delay()],
    "a lock": lambda a, b: [a.add_locked.delay(), a.meet_locked.delay(b, boxed=[a])],
    "a lock of a batch": lambda a, b: [Order.count_together.bulk_apply_async([a, b], batch_size=2)],
    "a batch": lambda a, b: [Order.fail_if_bad.bulk_apply_async([a, b, 999], batch_size=3)],
    "a bulk": lambda a, b: [Order.fail_if_bad.bulk_delay([a, b, 999])],
    "a replaced task": lambda a, b: [a.replaced.delay(b)],
    "a missing row": lambda a, b: missing(a, a.ship, "dhl"),
    "a missing row, discarded": lambda a, b: missing(a, a.ship_or_not),
    "a missing row, with a function": lambda a, b: missing(a, a.ship_or_note),
    "a manager and a class": lambda a, b: [
        Order.paid.count_all.delay(3),
        Order.number_all.delay(["1"], last=b),
    ],
}


def orders(place: int = 0) -> tuple[Order, Order]:
    first = 501 + 2 * place
    return (
        Order.objects.create(pk=first, number="good"),
        Order.objects.create(pk=first + 1, number="bad"),
    )


def send_all() -> dict[str, Results]:
    """Send the calls of all scenarios, each with orders of its own."""
    Order.objects.all().delete()
    return {name: send(*orders(place)) for place, (name, send) in enumerate(SCENARIOS.items())}


def ends(sent: dict[str, Results]) -> dict[str, list[Any]]:
    return {name: [ended(result) for result in results] for name, results in sent.items()}


def ended(result: Any) -> Any:
    """Return how a task has ended, without what is its own: ids."""
    if hasattr(result, "missing"):
        values = result.get(propagate=False, timeout=SECONDS, interval=0.05)
        return result.succeeded, result.failed, result.missing, as_text(values)
    until = time.monotonic() + SECONDS
    while result.state not in {*READY_STATES, IGNORED} and time.monotonic() < until:
        time.sleep(0.02)
    value = result.get(propagate=False, timeout=1) if result.state != IGNORED else None
    return result.state, as_text(value)


def as_text(value: Any) -> str:
    if isinstance(value, Order):
        return f"order {value.pk} {value.number}"
    if isinstance(value, dict):
        return str({key: as_text(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return str([as_text(item) for item in value])
    return re.sub(r"[0-9a-f-]{36}", "an id", repr(value))


def rows() -> list[Any]:
    return list(Order.objects.order_by("pk").values_list("pk", "status", "carrier", "tries"))


def marks(events: list[dict[str, Any]]) -> Counter[str]:
    own = ("pid", "thread", "id")
    return Counter(
        as_text(json.dumps({key: value for key, value in event.items() if key not in own}))
        for event in events
        if event["what"] not in {"query", "session"}
    )


def test_a_recorder_does_what_a_worker_does(
    start_worker: Callable[..., Worker],
    route: Callable[[Worker], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = start_worker("--pool=solo")
    route(worker)
    probe = tmp_path / "probe"
    probe.touch()
    with monkeypatch.context() as patch, record_tasks() as tasks:
        patch.setenv("TEST_PROBE", str(probe))
        sent = send_all()
        tasks.run(propagate=False)
        recorded, left = ends(sent), rows()
    seen = marks([json.loads(line) for line in probe.read_text().splitlines()])

    assert ends(send_all()) == recorded
    found: Counter[str] = Counter()

    def all_seen() -> bool:
        found.update(marks(worker.events()))
        return sum(found.values()) >= sum(seen.values())

    worker.wait_for(all_seen, f"the events {seen}")
    assert found == seen
    worker.wait_for(lambda: rows() == left, f"the rows {left}")


class InATestCase(TestCase):
    """Inside of the transaction of a test, which sets its own limits."""

    def test_locked_methods_run_and_roll_back_by_themselves(self) -> None:
        good, bad = orders()
        with record_tasks() as tasks:
            good.add_locked.delay()
            batch = Order.count_together.bulk_apply_async([good, bad], batch_size=2)
            tasks.run(propagate=False)
            assert (batch.succeeded, batch.failed) == (1, 1)

        assert rows() == [(501, "new", "", 2), (502, "new", "", 0)]

    def test_what_waits_for_a_commit_runs(self) -> None:
        good, _ = orders()
        with record_tasks() as tasks:
            with transaction.atomic():
                good.ship_on_commit.delay()
                assert len(tasks) == 0
            assert len(tasks.run()) == 1
