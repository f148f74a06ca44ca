"""Sending durable tasks, compared with other ways to send in a transaction, and durable bulks.

Everything is on PostgreSQL and Redis. The other packages store tasks, which a process of theirs
sends or runs later; its work is not measured. A durable task is sent when its transaction commits.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction

from benchmarks import database, tasks
from benchmarks.contenders import METHOD_PICKLE
from benchmarks.models import Order
from benchmarks.parts.publish import delete_queue, purge
from benchmarks.samples import Measure, interleaved

if TYPE_CHECKING:
    from benchmarks.lab import Lab

DURABLE: Final = "durable"
ON_COMMIT: Final = "delay_on_commit"
BY_HAND: Final = "by hand, in transaction.on_commit"
OUTBOX: Final = "django-celery-outbox"
PROCRASTINATE: Final = "Procrastinate"

BULK: Final = "bulk_delay of a durable method"
LOOP: Final = "loop over delay"
COMMIT: Final = "commit of a durable bulk"


def durable(order: Order) -> None:
    """Send a durable method."""
    order.charge.delay(250)


def on_commit(order: Order) -> None:
    """Send a method when the transaction commits."""
    order.charge_plainly.delay_on_commit(250)


def by_hand(order: Order) -> None:
    """Send a hand-written task when the transaction commits."""
    transaction.on_commit(partial(tasks.ship.delay, order.pk))


def outbox(order: Order) -> None:
    """Send a hand-written task by an app whose ``send_task`` stores it."""
    tasks.ship.delay(order.pk)


def procrastinate(order: Order) -> None:
    """Store a job."""
    _job().defer(pk=order.pk, amount=250)


@cache
def _job() -> Any:
    from procrastinate.contrib.django import app as jobs

    @jobs.task(name="benchmarks.charge")
    def charge(pk: int, amount: int) -> None: ...

    return charge


#: How a task is sent in a transaction.
WAYS: Final[dict[str, Callable[[Order], None]]] = {
    ON_COMMIT: on_commit,
    f"{ON_COMMIT}, again": on_commit,
    BY_HAND: by_hand,
    DURABLE: durable,
    OUTBOX: outbox,
    PROCRASTINATE: procrastinate,
}


def measure(lab: Lab) -> Iterator[Measure]:
    """Yield the rates of transactions that send a task, and the rates of bulks."""
    queue = f"bench-{uuid.uuid4().hex[:8]}"
    environment = {"BENCH_RECORDS": "1", "BENCH_QUEUE": queue, "BENCH_PERSISTENT": "1"}
    with lab.runners([METHOD_PICKLE, OUTBOX], **environment) as runners:
        runner = runners[METHOD_PICKLE]
        runner.ask(prepare)
        try:
            for saves in (True, False):
                yield _transactions(lab, runners, saves=saves)
            yield _bulks(lab, runner)
        finally:
            runner.ask(finish)


def _transactions(lab: Lab, runners: Any, *, saves: bool) -> Measure:
    number = lab.scaled(300, 60)
    ways = {
        way: partial(
            runners[OUTBOX if way == OUTBOX else METHOD_PICKLE].ask,
            send,
            way=way,
            number=number,
            saves=saves,
        )
        for way in WAYS
    }
    interleaved(ways, 1)  # connections, declarations, imports
    return Measure(
        "durable",
        f"transactions per second that {'save a row and ' if saves else ''}send a task",
        "/s",
        interleaved(ways, lab.repetitions(25, 3)),
        less_is_better=False,
        floor=ON_COMMIT,
        note="" if saves else "Without a query, on_commit sends nothing to the database.",
        details={"transactions": number},
    )


def _bulks(lab: Lab, runner: Any) -> Measure:
    rows, few = lab.scaled(100_000, 20_000), lab.scaled(2_000, 500)
    runner.ask(bulk, rows=1000)
    samples: dict[str, list[float]] = {LOOP: [], BULK: [], COMMIT: []}
    ways = {LOOP: partial(runner.ask, loop, rows=few), BULK: partial(runner.ask, bulk, rows=rows)}
    taken = interleaved(ways, lab.repetitions(5, 2))
    samples[LOOP] = taken[LOOP]
    samples[BULK] = [inserted for inserted, _ in taken[BULK]]
    samples[COMMIT] = [sent for _, sent in taken[BULK]]
    return Measure(
        "durable",
        "rows recorded or sent per second",
        "/s",
        samples,
        less_is_better=False,
        floor=LOOP,
        note=f"{rows:,} rows are recorded, of which the commit sends 10,000 and workers the "
        f"others. The loop sends {few:,}, which are not durable.",
    )


# In the runner's process.


def prepare() -> None:
    """Make the tables."""
    database.make_record_tables()


def finish() -> None:
    """Drop the tables and the queue."""
    database.drop_record_tables()
    delete_queue()


def send(way: str, number: int, *, saves: bool) -> float:
    """Return the transactions per second that send a task in one way."""
    send_one = WAYS[way]
    orders = list(Order.objects.order_by("pk")[:number])
    started = time.perf_counter()
    for order in orders:
        with transaction.atomic():
            if saves:
                order.status = "placed"
                order.save()
            send_one(order)
    taken = time.perf_counter() - started
    _empty()
    return len(orders) / taken


def loop(rows: int) -> float:
    """Return the rows per second of a loop over the ``delay`` of a plain method."""
    order = Order.objects.order_by("pk")[0]
    started = time.perf_counter()
    for _ in range(rows):
        order.charge_plainly.delay(5)
    taken = time.perf_counter() - started
    purge()
    return rows / taken


def bulk(rows: int) -> tuple[float, float]:
    """Return the rows per second of a bulk that are recorded, and that its commit sends."""
    from cereal_methods.records.outboxes import HELD

    with transaction.atomic():
        started = time.perf_counter()
        Order.charge.bulk_delay(range(1, rows + 1), 5)
        recorded = time.perf_counter()
    committed = time.perf_counter()
    _empty()
    return rows / (recorded - started), min(rows, HELD) / (committed - recorded)


def _empty() -> None:
    purge()
    database.empty_record_tables()
