"""What ``@model_task`` costs those who only call the method, or look it up."""

from __future__ import annotations

import time
import timeit
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from benchmarks.models import Order
from benchmarks.samples import Measure, interleaved

if TYPE_CHECKING:
    from benchmarks.lab import Lab

UNDECORATED: Final = "undecorated"
DECORATED: Final = "@model_task"

#: The same, without and with ``@model_task``.
WAYS: Final = {
    "plain call on an instance": ("order.plain()", "order.ship()"),
    "attribute access on an instance": ("order.plain", "order.ship"),
    "attribute access on the class": ("Order.plain", "Order.ship"),
}


def measure(lab: Lab) -> Iterator[Measure]:
    """Give nanoseconds, each the mean of many in a row."""
    repeat, number = lab.repetitions(101, 21), lab.scaled(20_000, 5_000)
    scope = {"Order": Order, "order": Order(pk=1)}
    for name, (plain, decorated) in WAYS.items():
        timers = {
            label: timeit.Timer(statement, timer=time.process_time, globals=scope)
            for label, statement in (
                (UNDECORATED, plain),
                (f"{UNDECORATED}, again", plain),
                (DECORATED, decorated),
            )
        }
        ways = {
            label: (lambda timer=timer: timer.timeit(number) / number * 1e9)
            for label, timer in timers.items()
        }
        yield Measure("descriptor", name, "ns", interleaved(ways, repeat), floor=UNDECORATED)
