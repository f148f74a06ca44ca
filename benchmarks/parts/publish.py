"""Messages published per second, as a user would send them, one after the other."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.celery import app
from benchmarks.contenders import FLOOR, current
from benchmarks.models import Order
from benchmarks.samples import Measure, interleaved
from benchmarks.workers import forget

if TYPE_CHECKING:
    from benchmarks.lab import Lab


def measure(lab: Lab) -> Iterator[Measure]:
    """Give the rates on each broker, and what one message weighs there."""
    repeat, number = lab.repetitions(25, 5), lab.scaled(300, 60)
    for broker in ("memory", *lab.brokers):
        queue = f"bench-{uuid.uuid4().hex[:8]}"
        with lab.runners(BENCH_BROKER=broker, BENCH_QUEUE=queue) as runners:
            if broker == "redis":
                sizes = {name: [runner.ask(stored)] for name, runner in runners.items()}
                yield Measure(
                    "publish", "a message in Redis", "bytes", sizes, floor=FLOOR, exact=True,
                    note="With the headers that Celery adds, its body in base64 or escaped.",
                )  # fmt: skip
            ways = {
                name: (lambda runner=runner: runner.ask(send, number=number))
                for name, runner in runners.items()
            }
            interleaved(ways, 1)  # connections, declarations, imports
            found = interleaved(ways, repeat)
            yield Measure(
                "publish",
                f"messages per second, {broker}",
                "/s",
                {name: [rate for rate, _ in taken] for name, taken in found.items()},
                less_is_better=False,
                floor=FLOOR,
                details={"messages": number},
            )
            yield Measure(
                "publish",
                f"CPU of the sender per message, {broker}",
                "µs",
                {name: [cpu for _, cpu in taken] for name, taken in found.items()},
                floor=FLOOR,
            )
            next(iter(runners.values())).ask(delete_queue)


def send(number: int) -> tuple[float, float]:
    """Return messages per second, and microseconds of this process's CPU for each.

    They are removed when the time is taken.
    """
    send_one = current().send
    orders = list(Order.objects.order_by("pk")[:number])
    begun, cpu_begun = time.perf_counter(), time.process_time()
    for order in orders:
        send_one(order)
    taken, cpu = time.perf_counter() - begun, time.process_time() - cpu_begun
    purge()
    return len(orders) / taken, cpu / len(orders) * 1e6


def stored() -> int:
    """Return the bytes of one message as Redis keeps it."""
    current().send(Order.objects.order_by("pk")[0])
    with app.connection_for_write() as broker:
        (found,) = broker.default_channel.client.lrange(app.conf.task_default_queue, 0, 0)
    purge()
    return len(found)


def purge() -> None:
    """Remove the messages that were sent."""
    with app.connection_for_write() as broker:
        broker.default_channel.queue_purge(app.conf.task_default_queue)


def delete_queue() -> None:
    """Remove the queue."""
    forget(app.conf.task_default_queue)
