"""Rows sent and run per second: the bulk helpers, a loop over ``delay``, a Celery group."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from celery import group

from benchmarks import database, tasks
from benchmarks.celery import app
from benchmarks.contenders import METHOD_PICKLE
from benchmarks.marks import TIME
from benchmarks.models import Order
from benchmarks.parts.consume import wait_for
from benchmarks.parts.publish import delete_queue, purge
from benchmarks.samples import Measure, interleaved
from benchmarks.workers import Worker, workers

if TYPE_CHECKING:
    from benchmarks.lab import Lab

LOOP: Final = "loop over delay"
BATCHES: Final = "batch_size=1000"
ROW_BY_ROW: Final = "a message a row"
IN_BATCHES: Final = "batch_size=500"


def loop(rows: Any) -> None:
    """Send the method row by row."""
    for order in rows.iterator():
        order.ship.delay()


def loop_by_hand(rows: Any) -> None:
    """Send the hand-written task key by key."""
    for pk in rows.values_list("pk", flat=True).iterator():
        tasks.ship.delay(pk)


def group_by_hand(rows: Any) -> None:
    """Send a Celery group of hand-written tasks."""
    group(tasks.ship.s(pk) for pk in rows.values_list("pk", flat=True)).apply_async()


def group_of_method(rows: Any) -> None:
    """Send the method's own group."""
    Order.ship.group(rows).apply_async()


def bulk_delay(rows: Any) -> None:
    """Send the method for all, a message each."""
    Order.ship.bulk_delay(rows)


def batches(rows: Any) -> None:
    """Send the method for all, a thousand in a message."""
    Order.ship.bulk_apply_async(rows, batch_size=1000)


#: How rows are sent. Batches are timed with all rows of the table, the others with a sample.
WAYS: Final[dict[str, Callable[[Any], None]]] = {
    LOOP: loop,
    "loop over delay, again": loop,
    "loop over delay, by hand": loop_by_hand,
    "Celery group, by hand": group_by_hand,
    "Order.ship.group": group_of_method,
    "bulk_delay": bulk_delay,
    BATCHES: batches,
}


def measure(lab: Lab) -> Iterator[Measure]:
    """Give the rates of sending and of running."""
    rows, sample = lab.scaled(100_000, 10_000), lab.scaled(2_000, 200)
    database.grow(rows)
    yield _sending(lab, rows, sample)
    yield _running(lab, rows, sample // 4)


def _sending(lab: Lab, rows: int, sample: int) -> Measure:
    queue = f"bench-{uuid.uuid4().hex[:8]}"
    environment = {"BENCH_RESULTS": "1", "BENCH_QUEUE": queue}
    with lab.runners([METHOD_PICKLE], **environment) as runners:
        (runner,) = runners.values()
        ways = {
            way: partial(runner.ask, sent, way=way, rows=rows if way == BATCHES else sample)
            for way in WAYS
        }
        runner.ask(sent, way=LOOP, rows=20)
        samples = interleaved(ways, lab.repetitions(7, 2))
        runner.ask(delete_queue)
    return Measure(
        "bulk",
        "rows sent per second",
        "/s",
        samples,
        less_is_better=False,
        floor=LOOP,
        note=f"On Redis, which keeps results too. {rows:,} rows in batches, {sample:,} otherwise.",
    )


def sent(way: str, rows: int) -> float:
    """Return the rows sent per second in one way."""
    queryset = Order.objects.order_by("pk")[:rows]
    begun = time.perf_counter()
    WAYS[way](queryset)
    taken = time.perf_counter() - begun
    purge()
    return rows / taken


def _running(lab: Lab, rows: int, sample: int) -> Measure:
    with workers([METHOD_PICKLE], uuid.uuid4().hex[:6], 2, BENCH_RESULTS="1") as found:
        (worker,) = found.values()
        ways = {
            name: partial(_run, worker, batch_size=size, rows=rows if size else sample)
            for name, size in (
                (ROW_BY_ROW, None),
                (f"{ROW_BY_ROW}, again", None),
                (IN_BATCHES, 500),
            )
        }
        _run(worker, batch_size=None, rows=50)
        samples = interleaved(ways, lab.repetitions(5, 2))
    return Measure(
        "bulk",
        "rows run per second",
        "/s",
        samples,
        less_is_better=False,
        floor=ROW_BY_ROW,
        note="By two processes of the prefork pool, with Celery's default connections to the "
        "database, for a method that does nothing. "
        f"{rows:,} rows in batches, {sample:,} otherwise.",
    )


def _run(worker: Worker, batch_size: int | None, rows: int) -> float:
    found: float = worker.ask(run, batch_size=batch_size, rows=rows, times=str(worker.times))
    return found


def run(name: str, batch_size: int | None, rows: int, times: str) -> float:
    """Return the rows run per second, from the word to take them to the end of the last."""
    queue = app.conf.task_default_queue
    before = Path(times).stat().st_size // TIME.size
    queryset = Order.objects.order_by("pk")[:rows]
    result = Order.ship.bulk_apply_async(queryset, batch_size=batch_size)
    begun = time.monotonic()
    app.control.add_consumer(queue, destination=[name])
    ends = wait_for(times, before, -(-rows // (batch_size or 1)))
    app.control.cancel_consumer(queue, destination=[name], reply=True, timeout=5)
    result.wait(timeout=30, interval=0.1)
    if not result.successful():
        raise RuntimeError(f"Rows were not run: {result.failures()[:5]}")
    return rows / (ends[-1] - begun)
