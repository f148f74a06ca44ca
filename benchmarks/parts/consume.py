"""Tasks consumed per second by real workers, and what a message costs their main process.

The queue is filled while the worker stands by; then the worker is told to take it. The
rate is that of the steady part: the first and the last tenth of the tasks do not count.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.celery import app
from benchmarks.contenders import CONTENDERS, FLOOR, current
from benchmarks.marks import TIME
from benchmarks.models import Order
from benchmarks.samples import Measure, interleaved
from benchmarks.workers import Worker, children, cpu_seconds, workers

if TYPE_CHECKING:
    from benchmarks.lab import Lab

#: Seconds without any task's end after which a worker is taken to have stopped.
PATIENCE: Final = 30


def measure(lab: Lab) -> Iterator[Measure]:
    """Give rates and CPU on each broker, with and without persistent connections."""
    for broker in lab.brokers:
        for connections in ("default", "persistent"):
            lab.say(f"consume: {broker}, {connections} connections")
            yield from _measure(lab, broker, connections)
    # Most methods write. What was read before the task began has then cost a session more.
    broker = lab.brokers[0]
    lab.say(f"consume: {broker}, default connections, a method that writes")
    yield from _measure(lab, broker, "default", writes=True)


def _measure(lab: Lab, broker: str, connections: str, *, writes: bool = False) -> Iterator[Measure]:
    environment = {
        "BENCH_BROKER": broker,
        "BENCH_PERSISTENT": str(int(connections == "persistent")),
        "BENCH_WRITES": str(int(writes)),
    }
    writing = ", a method that writes" if writes else ""
    number = lab.scaled(*((150, 60) if connections == "default" else (900, 300)))
    with workers(list(CONTENDERS), uuid.uuid4().hex[:6], lab.concurrency, **environment) as found:
        ways = {name: partial(_consumed, worker, number=number) for name, worker in found.items()}
        for worker in found.values():
            _consumed(worker, number=50)  # connections, caches, imports
        taken = interleaved(ways, lab.repetitions(15, 2))
    details = {"messages": number, "children": lab.concurrency}
    yield Measure(
        "consume",
        f"tasks per second, {broker}, {connections} connections{writing}",
        "/s",
        {name: [rate for rate, _, _ in values] for name, values in taken.items()},
        less_is_better=False,
        floor=FLOOR,
        details=details,
    )
    for place, what in ((1, "CPU of the consumer per message"), (2, "CPU of the pool per task")):
        yield Measure(
            "consume",
            f"{what}, {broker}, {connections} connections{writing}",
            "µs",
            {name: [value[place] for value in values] for name, values in taken.items()},
            floor=FLOOR,
            details=details,
        )


def _consumed(worker: Worker, number: int) -> tuple[float, float, float]:
    """Return tasks per second, and microseconds of CPU for each: main process, and pool."""
    rate, consumer, pool = worker.ask(
        consumed, number=number, times=str(worker.times), pid=worker.process.pid
    )
    return rate, consumer, pool


def consumed(name: str, number: int, times: str, pid: int) -> tuple[float, float, float]:
    """Send, have it consumed, and return what ``_consumed`` returns."""
    queue = app.conf.task_default_queue
    send = current().send
    orders = list(Order.objects.order_by("pk")[:1000])
    for place in range(number):
        send(orders[place % len(orders)])
    before = Path(times).stat().st_size // TIME.size
    pool = children(pid)
    cpu_before = cpu_seconds(pid), cpu_seconds(*pool)
    app.control.add_consumer(queue, destination=[name])
    ends = wait_for(times, before, number)
    cpu = cpu_seconds(pid) - cpu_before[0], cpu_seconds(*pool) - cpu_before[1]
    app.control.cancel_consumer(queue, destination=[name], reply=True, timeout=5)
    margin = max(1, number // 10)
    rate = (number - 2 * margin) / (ends[-margin - 1] - ends[margin - 1])
    return rate, cpu[0] / number * 1e6, cpu[1] / number * 1e6


def wait_for(times: str, before: int, number: int) -> list[float]:
    """Return when so many tasks more than ``before`` have ended, and the times of their ends."""
    last, since = -1, time.monotonic()
    while (ended := Path(times).stat().st_size // TIME.size - before) < number:
        if ended != last:
            last, since = ended, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            raise RuntimeError(f"The worker has stopped {number - ended} tasks before the end.")
        time.sleep(0.02)
    marks = Path(times).read_bytes()[before * TIME.size :]
    return sorted(end for (end,) in TIME.iter_unpack(marks))
