"""By how much the sending process grows, at its largest, for few rows and for many."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import database
from benchmarks.contenders import METHOD_PICKLE
from benchmarks.models import Order
from benchmarks.parts.bulk import BATCHES, LOOP, WAYS
from benchmarks.parts.publish import delete_queue, purge
from benchmarks.samples import Measure

if TYPE_CHECKING:
    from benchmarks.lab import Lab


def measure(lab: Lab) -> Iterator[Measure]:
    """Give megabytes and rates, each of a process of its own that has sent one row before."""
    few, many, all_of_them = (
        lab.scaled(10_000, 500),
        lab.scaled(lab.unbatched, 2_000),
        lab.scaled(1_000_000, 50_000),
    )
    database.grow(max(many, all_of_them))
    ways = [
        (LOOP, few),
        ("Celery group, by hand", few),
        ("bulk_delay", few),
        ("bulk_delay", many),
        (BATCHES, all_of_them // 10),
        (BATCHES, all_of_them),
    ]
    megabytes, rates = {}, {}
    for way, rows in ways:
        label = f"{way}, {rows:,} rows"
        lab.say(f"memory: {label}")
        environment = {"BENCH_RESULTS": "1", "BENCH_QUEUE": f"bench-{uuid.uuid4().hex[:8]}"}
        with lab.runners([METHOD_PICKLE], **environment) as runners:
            (runner,) = runners.values()
            found = runner.ask(grown, way=way, rows=rows)
            runner.ask(delete_queue)
        megabytes[label], rates[label] = [found["megabytes"]], [found["rows_per_second"]]
    yield Measure("memory", "growth of the sending process", "MB", megabytes, exact=True)
    yield Measure(
        "memory", "rows sent per second meanwhile", "/s", rates, less_is_better=False, exact=True
    )


def grown(way: str, rows: int) -> dict[str, float]:
    """Send rows, and return by how many megabytes this process has grown at its largest."""
    queryset = Order.objects.order_by("pk")
    WAYS[way](queryset[:1])  # connects, and imports the rest
    # From now on. (ru_maxrss cannot be set back, and begins with the size of the parent.)
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes("VmRSS")
    begun = time.perf_counter()
    WAYS[way](queryset[:rows])
    taken = time.perf_counter() - begun
    megabytes = (_kilobytes("VmHWM") - before) / 1024
    purge()
    return {"megabytes": round(megabytes, 1), "rows_per_second": round(rows / taken, 1)}


def _kilobytes(what: str) -> int:
    """Return the size of this process, now (``VmRSS``) or at its largest (``VmHWM``)."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(what))
