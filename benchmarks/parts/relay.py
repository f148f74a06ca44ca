"""The relay of durable tasks, compared with another one, and the cost of records in a worker.

Everything is on PostgreSQL and Redis. The relays send messages from their tables. A loop over
``delay``, and a batch of messages that are ready, show what the broker and the machine can do.
"""

# ruff: noqa: S608  (the names are this module's)

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db import connection
from django.utils import timezone

from benchmarks import database
from benchmarks.celery import app
from benchmarks.contenders import METHOD_PICKLE
from benchmarks.marks import TIME
from benchmarks.models import Order
from benchmarks.parts.consume import wait_for
from benchmarks.parts.durable import LOOP, OUTBOX, loop
from benchmarks.parts.publish import delete_queue, purge
from benchmarks.samples import Measure, interleaved
from benchmarks.workers import Worker, children, cpu_seconds, workers

if TYPE_CHECKING:
    from benchmarks.lab import Lab

RELAY: Final = "relay"
OUTBOX_LARGE: Final = "django-celery-outbox, batches of 1,000"
BATCH: Final = "producer.batch() of ready messages"

PLAIN: Final = "a method in a transaction"
DURABLE: Final = "a durable method"

EMPTY: Final = "no other records"
TABLE: Final = "cereal_records_taskrecord"


def measure(lab: Lab) -> Iterator[Measure]:
    """Yield the rates of sending and of running, and what done records change."""
    queue = f"bench-{uuid.uuid4().hex[:8]}"
    environment = {"BENCH_RECORDS": "1", "BENCH_QUEUE": queue, "BENCH_PERSISTENT": "1"}
    with lab.runners([METHOD_PICKLE, OUTBOX], **environment) as runners:
        runner = runners[METHOD_PICKLE]
        runner.ask(prepare)
        try:
            yield _sending(lab, runner, runners[OUTBOX])
            yield from _with_done_records(lab, runner)
            for connections in ("default", "persistent"):
                runner.ask(empty)
                lab.say(f"relay: running durable methods, {connections} connections")
                yield from _running(lab, connections)
        finally:
            runner.ask(finish)


def _sending(lab: Lab, runner: Any, outbox: Any) -> Measure:
    number, few = lab.scaled(20_000, 4_000), lab.scaled(3_000, 500)
    ways = {
        LOOP: partial(runner.ask, loop, rows=few),
        BATCH: partial(runner.ask, batch, number=number),
        RELAY: partial(runner.ask, relay, number=number),
        f"{RELAY}, again": partial(runner.ask, relay, number=number),
        OUTBOX: partial(outbox.ask, outbox_relay, number=few, batch_size=100),
        OUTBOX_LARGE: partial(outbox.ask, outbox_relay, number=few, batch_size=1000),
    }
    interleaved(ways, 1)  # connections, imports
    return Measure(
        "relay",
        "stored messages sent per second",
        "/s",
        interleaved(ways, lab.repetitions(9, 2)),
        less_is_better=False,
        floor=LOOP,
        note=f"{number:,} messages, and {few:,} of the slower ones.",
    )


def _with_done_records(lab: Lab, runner: Any) -> Iterator[Measure]:
    done, number = lab.scaled(1_000_000, 50_000), lab.scaled(10_000, 2_000)
    repeat = lab.repetitions(7, 2)
    ticks, rates, takes = {}, {}, {}
    for name, many in ((EMPTY, 0), (f"{done:,} done records", done)):
        lab.say(f"relay: {name}")
        runner.ask(empty)
        runner.ask(add_done, number=many)
        ticks[name] = [runner.ask(idle, number=200) for _ in range(repeat)]
        rates[name] = [runner.ask(relay, number=number, keep=True) for _ in range(repeat)]
        takes[name] = [runner.ask(take, number=500) for _ in range(repeat)]
    for what, unit, samples in (
        ("a tick of an idle relay", "µs", ticks),
        ("stored messages sent per second, beside done records", "/s", rates),
        ("locking a record by its key", "µs", takes),
    ):
        yield Measure(
            "relay", what, unit, samples, less_is_better=unit != "/s", floor=EMPTY,
            note="tests/worker/test_relay_on_postgresql.py checks the plans of the queries.",
        )  # fmt: skip


def _running(lab: Lab, connections: str) -> Iterator[Measure]:
    environment = {
        "BENCH_RECORDS": "1",
        "BENCH_WRITES": "1",
        "BENCH_PERSISTENT": str(int(connections == "persistent")),
    }
    number = lab.scaled(*((150, 60) if connections == "default" else (900, 200)))
    with workers([METHOD_PICKLE], uuid.uuid4().hex[:6], lab.concurrency, **environment) as by_name:
        (worker,) = by_name.values()
        ways = {
            name: partial(_run, worker, method=method, number=number)
            for name, method in (
                (PLAIN, "charge_in_transaction"),
                (f"{PLAIN}, again", "charge_in_transaction"),
                (DURABLE, "charge"),
            )
        }
        interleaved(ways, 1)
        taken = interleaved(ways, lab.repetitions(15, 2))
    for place, what, unit in (
        (0, "tasks per second", "/s"),
        (1, "CPU of the pool and the relay per task", "µs"),
    ):
        yield Measure(
            "relay",
            f"{what}, {connections} connections",
            unit,
            {name: [pair[place] for pair in pairs] for name, pairs in taken.items()},
            less_is_better=unit != "/s",
            floor=PLAIN,
            note="Each method fetches its row and updates it.",
            details={"messages": number, "children": lab.concurrency},
        )


# In the runner's process.


def prepare() -> None:
    """Make the tables."""
    database.make_record_tables()


def empty() -> None:
    """Delete all records."""
    database.empty_record_tables()


def finish() -> None:
    """Drop the tables and the queue."""
    database.drop_record_tables()
    delete_queue()


def batch(number: int) -> float:
    """Return the messages per second of ``producer.batch()``, when all of them are ready."""
    from cereal_methods.records.messages import Message

    order = Order.objects.order_by("pk")[0]
    _insert_due(order, number)
    messages = Message.all_of(_query(f"SELECT envelope, body FROM {TABLE} WHERE state = 'waiting'"))
    with app.producer_or_acquire() as producer:
        started = time.perf_counter()
        with producer.batch(max_size=500):
            for message in messages:
                message.publish(producer)
        taken = time.perf_counter() - started
    _query(f"DELETE FROM {TABLE} WHERE state = 'waiting'")
    purge()
    return number / taken


def relay(number: int, *, keep: bool = False) -> float:
    """Return the messages per second that a relay sends. ``keep`` keeps other records."""
    from cereal_methods.records.relay import Relay

    if not keep:
        empty()
    _insert_due(Order.objects.order_by("pk")[0], number)
    sender = Relay(app, ["default"])
    started = time.perf_counter()
    sent = sender.send_due("default")
    taken = time.perf_counter() - started
    if sent != number:
        raise RuntimeError(f"The relay has sent {sent} of {number} messages.")
    _query(f"DELETE FROM {TABLE} WHERE state = 'sent'")
    _query(f"VACUUM {TABLE}")
    purge()
    return number / taken


def outbox_relay(number: int, batch_size: int) -> float:
    """Return the messages per second that django-celery-outbox sends."""
    import logging

    import structlog
    from django_celery_outbox.models import CeleryOutbox
    from django_celery_outbox.relay import Relay, RelayConfig

    # It writes a line for each message to standard output, which would slow it down.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    empty()
    Order.objects.order_by("pk")[0].charge_plainly.delay(5)
    columns = ", ".join(
        f'"{field.column}"' for field in CeleryOutbox._meta.fields if not field.primary_key
    )
    _query(
        f"INSERT INTO celery_outbox ({columns}) SELECT {columns} FROM celery_outbox, "
        "generate_series(1, %s)",
        number - 1,
    )
    _query("ANALYZE celery_outbox")
    sender = Relay(app, RelayConfig.init(batch_size=batch_size))
    started = time.perf_counter()
    for _ in range(-(-number // batch_size)):
        sender._processing()  # what its start() calls until a signal ends it
    taken = time.perf_counter() - started
    if CeleryOutbox.objects.exists():
        raise RuntimeError("django-celery-outbox has not sent all messages.")
    purge()
    return number / taken


def add_done(number: int) -> None:
    """Insert records that are done."""
    _insert_due(Order.objects.order_by("pk")[0], 1)
    _copy(number, state="'done'", row="mod(n, 50000)::text", envelope="''", body="''",
          started_at="now()", ended_at="now()")  # fmt: skip
    _query(f"DELETE FROM {TABLE} WHERE state = 'waiting'")
    _query(f"VACUUM ANALYZE {TABLE}")


def idle(number: int) -> float:
    """Return the microseconds of a tick that finds nothing to send, the best of many."""
    from cereal_methods.records.relay import Relay

    return _best(Relay(app, ["default"]).tick, number)


def take(number: int) -> float:
    """Return the microseconds in which a record is locked by its key, the best of many."""
    _insert_due(Order.objects.order_by("pk")[0], 1)
    ((pk,),) = _query(f"SELECT id FROM {TABLE} WHERE state = 'waiting'")
    microseconds = _best(
        lambda: _query(f"SELECT state, turn FROM {TABLE} WHERE id = %s FOR UPDATE", pk), number
    )
    _query(f"DELETE FROM {TABLE} WHERE id = %s", pk)
    return microseconds


def _best(function: Any, number: int) -> float:
    """Return the shortest of many calls in microseconds: other programs only lengthen them."""
    seconds = []
    for _ in range(number):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds) * 1e6


def _insert_due(order: Any, number: int) -> None:
    """Insert records that are due: copies of one that was sent."""
    order.charge.apply_async((5,), countdown=3600)
    _copy(number - 1)
    _query(
        f"UPDATE {TABLE} SET send_at = %s WHERE state = 'waiting'",
        timezone.now() - timedelta(seconds=5),
    )
    _query(f"VACUUM ANALYZE {TABLE}")


def _copy(number: int, **values: str) -> None:
    """Insert copies of the record that waits, with other values given as SQL."""
    from cereal_methods.records.models import TaskRecord

    names = [field.column for field in TaskRecord._meta.fields if not field.primary_key]
    columns = ", ".join(f'"{name}"' for name in names)
    copied = ", ".join(values.get(name, f'"{name}"') for name in names)
    _query(
        f"INSERT INTO {TABLE} (id, {columns}) SELECT gen_random_uuid()::text, {copied} "
        f"FROM (SELECT * FROM {TABLE} WHERE state = 'waiting' LIMIT 1) AS one, "
        "generate_series(1, %s) AS n",
        number,
    )


def _query(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def _run(worker: Worker, method: str, number: int) -> tuple[float, float]:
    rate, cpu = worker.ask(
        run, method=method, number=number, times=str(worker.times), pid=worker.process.pid
    )
    return rate, cpu


def run(name: str, method: str, number: int, times: str, pid: int) -> tuple[float, float]:
    """Return the tasks per second that a worker runs, and the microseconds of CPU for each.

    The rate leaves out the first and the last tenth.
    """
    queue = app.conf.task_default_queue
    orders = list(Order.objects.order_by("pk")[:number])
    for place in range(number):
        getattr(orders[place % len(orders)], method).delay(5)
    before = Path(times).stat().st_size // TIME.size
    pool = children(pid)
    cpu_before = cpu_seconds(*pool)
    app.control.add_consumer(queue, destination=[name])
    ends = wait_for(times, before, number)
    cpu = cpu_seconds(*pool) - cpu_before
    app.control.cancel_consumer(queue, destination=[name], reply=True, timeout=5)
    margin = max(1, number // 10)
    rate = (number - 2 * margin) / (ends[-margin - 1] - ends[margin - 1])
    return rate, cpu / number * 1e6
