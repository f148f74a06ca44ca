"""Encoding and decoding: bytes, and microseconds of a message's way through kombu.

Encoding is what a producer does from the instance to the bytes. Decoding is kombu's
``loads`` and the unpacking of ``fun(*args, **kwargs)``, with the rows handed over. "To the
method's first line" is ``loads`` and the task's whole run until it has its row, by hand
as well, without the database; and once more with it.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from celery._state import _task_stack
from django.db import connection
from django.db.models.sql.compiler import SQLCompiler
from kombu.serialization import dumps, loads, registry

from benchmarks import contenders
from benchmarks.celery import app
from benchmarks.contenders import FLOOR, Call, current
from benchmarks.models import Order
from benchmarks.samples import FIRST_LINE, Measure, interleaved
from cereal_methods.running import unpacking

if TYPE_CHECKING:
    from benchmarks.lab import Lab

EMBED: Final = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))

#: How much is sent, and what it is called.
KINDS: Final = {
    "method": "one instance, self of a method",
    "argument": "one instance, an argument",
    "hundred": "100 instances, an argument",
    "plain": "10,000 integers, no instance",
}


def measure(lab: Lab) -> Iterator[Measure]:
    """Give bytes and times of all contenders, for each kind of message."""
    repeat, span = lab.repetitions(31, 5), lab.scaled(0.015, 0.005)
    with lab.runners() as runners:
        for kind, title in KINDS.items():
            able = {
                name: runner
                for name, runner in runners.items()
                if not (name == contenders.METHOD_JSON and kind in ("argument", "hundred"))
            }
            sizes = {name: [runner.ask(size, kind=kind)] for name, runner in able.items()}
            yield Measure("codec", f"{title}: body", "bytes", sizes, floor=FLOOR, exact=True)
            ways = {
                name: (partial(runner.ask, times, kind=kind, span=span))
                for name, runner in able.items()
            }
            found = interleaved(ways, repeat)
            steps = list(found[FLOOR][0])
            for step in steps:
                yield Measure(
                    "codec",
                    f"{title}: {step}",
                    "µs",
                    {name: [sample[step] for sample in taken] for name, taken in found.items()},
                    floor=FLOOR,
                )


def size(kind: str) -> int:
    """Return the bytes of a body."""
    call = _call(kind)()
    return len(_encoded(call, _task_of(call))[2])


def times(kind: str, span: float) -> dict[str, float]:
    """Return the microseconds of one message, from as many as fit in ``span`` seconds each."""
    found = {}
    for step, run in prepared(kind):
        run()
        found[step] = _microseconds(run, span)
    found["encode + decode"] = found["encode"] + found["decode"]
    if kind in ("method", "hundred"):
        call = _call(kind)()
        task = _task_of(call)
        begin = _decoder(task, task.run, *_encoded(call, task))
        connection.ensure_connection()
        with _running(task):
            # The database's time counts here too.
            found["the same, with its query"] = _microseconds(begin, span, time.perf_counter)
    return found


def prepared(kind: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Give each step of a message by its name, ready to be run."""
    call = _call(kind)
    task = _task_of(call())
    data = _encoded(call(), task)
    orders = list(Order.objects.order_by("pk")[:100])
    with _running(task), _without_queries(100 if kind == "hundred" else 1):
        yield "encode", lambda: _encoded(call(), task)
        yield "loads", lambda: loads(*_loadable(data))
        yield "loads, and pickled for the pool", lambda: _for_pool(data)
        with _with_rows(orders):
            yield "decode", _decoder(task, _unpack, *data)
        yield FIRST_LINE, _decoder(task, task.run, *data)


def _call(kind: str) -> Callable[[], Call]:
    contender = current()
    if kind == "plain":
        numbers = list(range(10_000))
        return lambda: contender.plain(numbers)
    orders = list(Order.objects.order_by("pk")[:100])
    if kind == "hundred":
        return lambda: contender.hundred(orders)
    return lambda: getattr(contender, kind)(orders[0])


def _task_of(call: Call) -> Any:
    """Return the task itself, as a worker has it, where ``shared_task`` gave a proxy of it."""
    return app.tasks[call[0].name]


def _encoded(call: Call, task: Any) -> tuple[str, str, Any]:
    _, args, kwargs = call
    found: tuple[str, str, Any] = dumps((args, kwargs, EMBED), task.serializer)
    return found


def _loadable(data: tuple[str, str, Any]) -> tuple[Any, str, str]:
    content_type, encoding, payload = data
    return payload, content_type, encoding


def _for_pool(data: tuple[str, str, Any]) -> bytes:
    """Do with a body what the consumer of a prefork pool does."""
    args, kwargs, _ = loads(*_loadable(data))
    return pickle.dumps(({"args": args, "kwargs": kwargs}, data), pickle.HIGHEST_PROTOCOL)


def _unpack(*args: Any, **kwargs: Any) -> None:
    """Take arguments as a task does."""


def _decoder(
    task: Any, run: Any, content_type: str, encoding: str, payload: Any
) -> Callable[[], Any]:
    accept = {content_type}

    def decode() -> Any:
        args, kwargs, _ = loads(payload, content_type, encoding, accept=accept)
        request = task.request_stack.top
        request.args, request.kwargs = args, kwargs
        return run(*args, **kwargs)

    return decode


@contextmanager
def _running(task: Any) -> Iterator[None]:
    """Be inside the task, as ``celery.app.trace`` is when it calls it."""
    registry.enable(task.serializer)
    _task_stack.push(task)
    task.push_request(id="0", called_directly=False, is_eager=False, headers=None)
    try:
        yield
    finally:
        task.pop_request()
        _task_stack.pop()


@contextmanager
def _with_rows(rows: list[Order]) -> Iterator[None]:
    """Hand over rows in the place of fetching them, where a message's arguments are unpacked."""

    def hand_over(task: Any, references: Any, sent: Any) -> list[Order]:
        return rows[: len(references)]

    with mock.patch.object(unpacking, "fetch_or_retry", hand_over):
        yield


@contextmanager
def _without_queries(number: int) -> Iterator[None]:
    """Hand over rows where Django would run its SQL, to all contenders alike.

    What builds the query and makes instances of the rows stays in the time.
    """
    fields = [field.attname for field in Order._meta.concrete_fields]
    rows = list(Order.objects.order_by("pk").values_list(*fields)[:number])

    def hand_over(compiler: Any, *args: Any, **kwargs: Any) -> Any:
        compiler.pre_sql_setup()
        # django-cereal asks for each row by itself.
        return iter([rows[:1] if compiler.query.is_sliced else rows])

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        raise RuntimeError(f"This query was to be left out of the time: {sql}")

    with (
        mock.patch.object(SQLCompiler, "execute_sql", hand_over),
        connection.execute_wrapper(refuse),
    ):
        yield


def _microseconds(
    run: Callable[[], Any], span: float, clock: Callable[[], float] = time.process_time
) -> float:
    """Return the time of one run: the best of five means, which take ``span`` seconds together.

    By the processor's time of this process, so that others on the machine count for little.
    """
    number, taken = 1, 0.0
    while True:
        taken = _taken(run, number, clock)
        if taken >= span / 5:
            break
        number = max(number + 1, int(number * min(10, 1.2 * span / 5 / max(taken, 1e-7))))
    return min(taken, *(_taken(run, number, clock) for _ in range(4))) / number * 1e6


def _taken(run: Callable[[], Any], number: int, clock: Callable[[], float]) -> float:
    begun = clock()
    for _ in range(number):
        run()
    return clock() - begun
