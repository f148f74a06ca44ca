"""What a bulk costs: rows per second and memory where it is sent, rows per second in the worker.

``python -m benchmarks.bulk``; see ``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from statistics import median
from typing import Any, Final

import celery
import django
from django.db import connection

from benchmarks.celery import app

django.setup()

from benchmarks.models import Order  # noqa: E402  (models need what is above)

QUEUE: Final = app.conf.task_default_queue

#: What is promised, by the name of the ratio.
AT_LEAST: Final = {
    "bulk_delay / loop over delay": 1.3,
    "bulk_apply_async(batch_size=1000) / loop over delay": 100.0,
    "worker: batch_size=500 / a message a row": 30.0,
}
MOST_MEGABYTES: Final = 50.0

#: From here on, a difference between few and many rows is memory that grows with them.
NOISE_MEGABYTES: Final = 5.0


def main() -> int:
    """Measure, print, and return 1 if something promised is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk")
    parser.add_argument("--rows", type=int, default=100_000, help="in the table")
    parser.add_argument("--sample", type=int, default=5_000, help="rows, with a message for each")
    parser.add_argument("--repeat", type=int, default=5, help="how often each way is timed")
    parser.add_argument("--grown", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grown:
        print(json.dumps(grown(*options.grown)))
        return 0
    with table(options.rows):
        speed = {
            **dispatch(options.rows, options.sample, options.repeat),
            **execution(options.rows, options.sample // 5, options.repeat),
        }
        memory = [
            in_fresh_process(rows, batch_size)
            for batch_size in (0, 1000)
            for rows in (options.rows // 10, options.rows)
        ]
    figures = {
        "versions": {
            "python": platform.python_version(),
            "django": django.__version__,
            "celery": celery.__version__,
        },
        "rows_per_second": speed,
        "ratios": ratios(speed),
        "memory": memory,
    }
    show(figures)
    print(json.dumps(figures, indent=2))
    return 0 if is_reached(figures) else 1


def dispatch(rows: int, sample: int, repeat: int) -> dict[str, float]:
    """Return the rows per second that are sent in each way; nothing runs them."""
    some = Order.objects.order_by("pk")[:sample]

    def loop() -> None:
        for order in some.iterator():
            order.ship.delay()

    ways: dict[str, tuple[Callable[[], Any], int]] = {
        "loop over delay": (loop, sample),
        "bulk_delay": (lambda: Order.ship.bulk_delay(some), sample),
        "bulk_apply_async(batch_size=1000)": (
            lambda: Order.ship.bulk_apply_async(Order.objects.all(), batch_size=1000),
            rows,
        ),
    }

    def timed(send: Callable[[], Any]) -> float:
        try:
            return seconds(send)
        finally:
            purge()

    return interleaved({name: (lambda s=s: timed(s), n) for name, (s, n) in ways.items()}, repeat)


def execution(rows: int, sample: int, repeat: int) -> dict[str, float]:
    """Return the rows per second of a worker with two processes, for a method that does nothing."""
    some, all_of_them = Order.objects.order_by("pk")[:sample], Order.objects.all()

    with worker() as name, app.connection_for_read() as connected:
        broker = connected.default_channel.client

        def timed(queryset: Any, batch_size: int | None) -> float:
            result = Order.ship.bulk_apply_async(queryset, batch_size=batch_size)

            def run() -> None:
                app.control.add_consumer(QUEUE, destination=[name])
                while broker.llen(QUEUE):  # no messages that a worker has not taken
                    time.sleep(0.02)
                result.wait(timeout=60, interval=0.02)

            taken = seconds(run)
            if not result.successful():
                raise RuntimeError(f"Rows were not run: {result.failures()[:5]}")
            app.control.cancel_consumer(QUEUE, destination=[name], reply=True)
            return taken

        timed(some[:100], None)  # both processes have their connections now
        ways: dict[str, tuple[Callable[[], float], int]] = {
            "worker: a message a row": (lambda: timed(some, None), sample),
            "worker: batch_size=500": (lambda: timed(all_of_them, 500), rows),
        }
        return interleaved(ways, repeat)


def interleaved(ways: dict[str, tuple[Callable[[], float], int]], repeat: int) -> dict[str, float]:
    """Time the ways in turns, and return the median rows per second of each."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, (timed, rows) in ways.items():
            found[name].append(rows / timed())
    return {name: round(median(values), 1) for name, values in found.items()}


def ratios(speed: dict[str, float]) -> dict[str, float]:
    """Return the ratios that are promised, as they are measured."""
    found = {}
    for name in AT_LEAST:
        prefix, _, compared = name.rpartition(": ")
        above, below = (f"{prefix}: {part}" if prefix else part for part in compared.split(" / "))
        found[name] = round(speed[above] / speed[below], 2)
    return found


def in_fresh_process(rows: int, batch_size: int) -> dict[str, Any]:
    """Return what ``grown`` returns, in a process that has sent nothing before."""
    command = [sys.executable, "-m", "benchmarks.bulk", "--grown", str(rows), str(batch_size)]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True))  # noqa: S603
    return found


def grown(rows: int, batch_size: int) -> dict[str, Any]:
    """Send rows, and return by how many megabytes the process has grown at its largest."""
    queryset = Order.objects.order_by("pk")
    try:
        Order.ship.bulk_delay(queryset[:1])  # connects, and imports the rest
        before = kilobytes("VmRSS")
        taken = seconds(
            lambda: Order.ship.bulk_apply_async(queryset[:rows], batch_size=batch_size or None)
        )
        megabytes = (kilobytes("VmHWM") - before) / 1024
    finally:
        purge()
    return {
        "rows": rows,
        "batch_size": batch_size or None,
        "megabytes": round(megabytes, 1),
        "rows_per_second": round(rows / taken, 1),
    }


def kilobytes(what: str) -> int:
    """Return the size of this process, now (``VmRSS``) or at its largest (``VmHWM``)."""
    # ru_maxrss would do but for one thing: it starts with the size of the parent.
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(what))


def seconds(run: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


@contextmanager
def table(rows: int) -> Iterator[None]:
    """Make the database, if it is not there, and a table of so many orders for a while."""
    name = connection.settings_dict["NAME"]
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)}")
    with suppress(django.db.ProgrammingError), connection.schema_editor() as editor:
        editor.delete_model(Order)
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    try:
        for start in range(0, rows, 5000):
            numbers = range(start, min(start + 5000, rows))
            Order.objects.bulk_create(Order(number=f"2026-{number}") for number in numbers)
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Order)


@contextmanager
def worker() -> Iterator[str]:
    """Start a worker that consumes nothing yet, and give its name."""
    name = f"bench-{os.getpid()}@localhost"
    command = [sys.executable, "-m", "celery", "-A", "benchmarks", "worker", "-n", name]
    command += ["--pool=prefork", "--concurrency=2", "-Q", f"{QUEUE}-idle", "-l", "ERROR"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        until = time.monotonic() + 60
        while not app.control.ping([name], timeout=0.5):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("The worker does not start; what it says is above.")
        yield name
    finally:
        process.terminate()
        process.wait(30)
        purge()


def purge() -> None:
    """Remove the messages that were sent."""
    with app.connection_for_write() as broker:
        broker.default_channel.queue_purge(QUEUE)


def is_reached(figures: dict[str, Any]) -> bool:
    """Tell whether all that is promised is reached."""
    sizes = [entry["megabytes"] for entry in figures["memory"]]
    return (
        all(figures["ratios"][name] >= least for name, least in AT_LEAST.items())
        and max(sizes) < MOST_MEGABYTES
        and all(
            many - few < NOISE_MEGABYTES for few, many in zip(sizes[::2], sizes[1::2], strict=True)
        )
    )


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    print(f"\n{'rows per second, median':<56}{'':>12}")
    for name, value in figures["rows_per_second"].items():
        print(f"  {name:<54}{value:>12,.0f}")
    print(f"\n{'ratio':<56}{'measured':>12}{'at least':>12}")
    for name, value in figures["ratios"].items():
        print(f"  {name:<54}{value:>12,.2f}{AT_LEAST[name]:>12,.1f}")
    print(f"\n{'memory of the sending process':<56}{'grows by':>12}{'less than':>12}")
    for entry in figures["memory"]:
        name = f"{entry['rows']:,} rows, batch_size={entry['batch_size']}"
        print(f"  {name:<54}{entry['megabytes']:>9.1f} MB{MOST_MEGABYTES:>9.0f} MB")
    print()


if __name__ == "__main__":
    sys.exit(main())
