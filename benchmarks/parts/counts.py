"""Queries, database sessions and fetches: of a task, a chain of 10 and a chord of 100.

Counted in the worker's processes, all of them, by Django's own hooks. A fetch is a
``SELECT`` of orders. The body of the chord has an instance of its own.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from celery import chain, chord, group

from benchmarks.contenders import AGAIN, CONTENDERS, FLOOR, current
from benchmarks.models import Order
from benchmarks.samples import Measure
from benchmarks.workers import workers

if TYPE_CHECKING:
    from benchmarks.lab import Lab

SECONDS: Final = 60

#: Of single tasks there are so many, and what is counted is divided by that.
TASKS: Final = 20

#: What is sent, and by how much the counts are divided.
SHAPES: Final = {"a task": TASKS, "a chain of 10": 1, "a chord of 100": 1}
COUNTED: Final = ("queries", "sessions", "fetches")


def measure(lab: Lab) -> Iterator[Measure]:
    """Give the counts of all contenders; how many repetitions makes no difference to them."""
    yield from _measure(lab, list(SHAPES))
    yield from _measure(lab, ["a task"], writes=True)


def _measure(lab: Lab, shapes: list[str], *, writes: bool = False) -> Iterator[Measure]:
    names = [name for name in CONTENDERS if name != AGAIN]
    environment = {"BENCH_RESULTS": "1", "BENCH_BROKER": lab.brokers[0]}
    environment["BENCH_WRITES"] = str(int(writes))
    with workers(names, uuid.uuid4().hex[:6], 2, counts=True, **environment) as found:
        counts: dict[str, dict[str, dict[str, float]]] = {}
        for name, worker in found.items():
            lab.say(f"counts: {name}{', writing' if writes else ''}")
            counts[name] = worker.ask(counted, shapes=shapes, events=str(worker.events))
    for shape in shapes:
        title = f"{shape} that writes" if writes else shape
        for what in COUNTED:
            samples = {name: [found[shape][what]] for name, found in counts.items()}
            yield Measure("counts", f"{title}: {what}", "", samples, floor=FLOOR, exact=True)


def counted(name: str, shapes: list[str], events: str) -> dict[str, dict[str, float]]:
    """Return what each shape costs in a worker."""
    from benchmarks.celery import app

    signature = current().signature
    orders = list(Order.objects.order_by("pk")[:101])
    app.control.add_consumer(app.conf.task_default_queue, destination=[name], reply=True)
    # Each process of the pool is warm after this.
    _counts(group(signature(order) for order in orders[:TASKS]), TASKS, events)
    canvases: dict[str, tuple[Callable[[], Any], int]] = {
        "a task": (lambda: group(map(signature, orders[:TASKS])), TASKS),
        "a chain of 10": (lambda: chain(map(signature, orders[:10])), 10),
        "a chord of 100": (
            lambda: chord(list(map(signature, orders[:100])), signature(orders[100])),
            101,
        ),
    }
    found = {}
    for shape in shapes:
        canvas, number = canvases[shape]
        found[shape] = _counts(canvas(), number, events)
    app.control.cancel_consumer(app.conf.task_default_queue, destination=[name], reply=True)
    return {
        shape: {what: counts[what] / SHAPES[shape] for what in COUNTED}
        for shape, counts in found.items()
    }


def _counts(canvas: Any, tasks: int, events: str) -> Counter[str]:
    """Send a canvas, wait for its end, and count what has happened since."""
    before = Path(events).stat().st_size
    canvas.apply_async().get(timeout=SECONDS)
    until = time.monotonic() + SECONDS
    while True:
        lines = Path(events).read_bytes()[before:].splitlines()
        counts: Counter[str] = Counter()
        for event in map(json.loads, lines):
            if event["what"] == "query":
                counts["queries"] += 1
                counts["fetches"] += _is_fetch(event["sql"])
            elif event["what"] in ("session", "task"):
                counts[f"{event['what']}s"] += 1
        if counts["tasks"] == tasks:
            return counts
        if counts["tasks"] > tasks or time.monotonic() > until:
            raise RuntimeError(f"{counts['tasks']} tasks have run, and not {tasks}.")
        time.sleep(0.02)


def _is_fetch(sql: str) -> bool:
    return sql.startswith("SELECT") and f'FROM "{Order._meta.db_table}"' in sql
