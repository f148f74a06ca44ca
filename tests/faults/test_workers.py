"""Workers that are killed, limited and shut down in the middle of tasks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.celery import app
from tests.servers import Server
from tests.worker.workers import Worker

from . import ledger
from .conftest import KEEPS, every_pool
from .models import Parcel
from .sessions import Sessions, wait_for
from .test_connections import make

TASKS = 40
SECONDS = 150

#: Redis gives a message that nobody acknowledged to another worker after so many seconds.
SOON = {"BROKER_TRANSPORT_OPTIONS": {"visibility_timeout": 3}}


@pytest.fixture
def alias() -> str:
    """The way to connect."""
    return "default"


@pytest.fixture
def parcel(postgres: Server, alias: str) -> Parcel:
    """A parcel."""
    return make(alias)


def processes(worker: Worker) -> list[int]:
    """Return the processes of a worker's pool."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def lives(number: int) -> bool:
    """Whether there is a process of this number."""
    return Path(f"/proc/{number}").exists()


def kill(*numbers: int) -> None:
    """Kill processes, so that nothing of them can say goodbye."""
    for number in numbers:
        with suppress(ProcessLookupError):  # a pool may end with its parent
            os.kill(number, signal.SIGKILL)


def running() -> set[str]:
    """Return the tasks whose methods have begun and not ended."""
    return ledger.begun().keys() - ledger.ended().keys()


def values(results: list[AsyncResult[Any]]) -> list[Any]:
    """Return what the methods have returned."""
    return [result.get(timeout=SECONDS) for result in results]


def test_killed_processes_of_a_pool_lose_no_task(
    start: Callable[..., Worker], parcel: Parcel
) -> None:
    worker = start("prefork")

    results = [parcel.handle_late.delay(0.1) for _ in range(TASKS)]
    for count in (5, 15):
        wait_for(lambda count=count: len(ledger.ended()) >= count and running(), "tasks", SECONDS)
        kill(*processes(worker))

    assert values(results) == [parcel.pk] * TASKS
    assert ledger.ended().keys() == {result.id for result in results}
    assert sum(ledger.begun().values()) > TASKS


@every_pool("prefork")
def test_a_killed_worker_loses_no_task(
    start: Callable[..., Worker], rabbitmq: Server, parcel: Parcel, pool: str
) -> None:
    # Redis hands a message out before it notes who has it, and cannot promise as much.
    worker = start(pool, BROKER_URL=rabbitmq.url)
    children = processes(worker) if pool == "prefork" else []

    with app.connection_for_write(rabbitmq.url) as connection:
        method = parcel.handle_late
        results = [method.apply_async([0.1], connection=connection) for _ in range(TASKS)]
    wait_for(lambda: len(ledger.ended()) >= 5 and running(), "tasks", SECONDS)
    kill(worker.pid, *children)
    worker.process.wait()
    worker.__enter__()

    assert values(results) == [parcel.pk] * TASKS
    assert ledger.ended().keys() == {result.id for result in results}


def test_a_task_that_was_acknowledged_first_is_recorded_as_failed(
    start: Callable[..., Worker], parcel: Parcel
) -> None:
    worker = start("prefork")

    result = parcel.handle.delay(30)
    wait_for(running, "the method to begin")
    kill(*processes(worker))

    wait_for(result.ready, "the end")
    assert (result.state, type(result.result).__name__) == ("FAILURE", "WorkerLostError")
    assert ledger.begun() == {result.id: 1}


def test_a_process_for_each_task_loses_none(start: Callable[..., Worker], parcel: Parcel) -> None:
    start("prefork", "--max-tasks-per-child=1")

    results = [parcel.handle.delay() for _ in range(TASKS // 4)]

    assert values(results) == [parcel.pk] * (TASKS // 4)
    assert ledger.begun() == {result.id: 1 for result in results}
    assert len(set(ledger.pids())) == TASKS // 4


def test_a_memory_limit_loses_no_task(start: Callable[..., Worker], parcel: Parcel) -> None:
    start("prefork", "--max-memory-per-child=200000")  # kilobytes

    results = [parcel.fill.delay(300) for _ in range(4)]

    assert values(results) == [parcel.pk] * 4
    assert ledger.begun() == {result.id: 1 for result in results}
    assert len(set(ledger.pids())) == 4


@pytest.mark.parametrize("method", ["handle", "handle_locked", "handle_late"])
@pytest.mark.parametrize("kind", ["soft_time_limit", "time_limit"])
def test_a_time_limit_in_the_middle_of_fetching_is_recorded(
    shared: Callable[..., Worker], parcel: Parcel, sessions: Sessions, kind: str, method: str
) -> None:
    worker = shared("prefork", **KEEPS)
    bound = getattr(parcel, method)
    before = processes(worker)

    with sessions.locked("faults_parcel"):
        result = bound.apply_async(**{kind: 1})
        sessions.wait_for_blocked()
        wait_for(result.ready, "the end")
        if kind == "time_limit":  # which Celery records, and then kills
            wait_for(lambda: not all(map(lives, before)), "the end of the process")

    error = {"soft_time_limit": "SoftTimeLimitExceeded", "time_limit": "TimeLimitExceeded"}[kind]
    assert (result.state, type(result.result).__name__) == ("FAILURE", error)
    assert ledger.begun() == {}
    # And the process, with the connection that it keeps, is of use for others.
    assert values([bound.delay() for _ in range(4)]) == [parcel.pk] * 4


@pytest.mark.long
def test_a_hard_time_limit_on_gevent_is_recorded(
    shared: Callable[..., Worker], parcel: Parcel, sessions: Sessions
) -> None:
    shared("gevent")

    with sessions.locked("faults_parcel"):
        result = parcel.handle.apply_async(time_limit=1)
        sessions.wait_for_blocked()
        wait_for(result.ready, "the end")

    assert (result.state, type(result.result).__name__) == ("FAILURE", "TimeLimitExceeded")
    assert parcel.handle.delay().get(timeout=SECONDS) == parcel.pk


@every_pool("prefork", "gevent")
def test_a_warm_shutdown_runs_every_task_once(
    start: Callable[..., Worker], parcel: Parcel, pool: str
) -> None:
    worker = start(pool)

    results = [parcel.handle.delay(0.1) for _ in range(TASKS)]
    wait_for(running, "a task", SECONDS)
    worker.process.terminate()
    worker.process.wait(SECONDS)
    assert running() == set()
    assert len(ledger.ended()) < TASKS
    worker.__enter__()

    assert values(results) == [parcel.pk] * TASKS
    assert ledger.begun() == {result.id: 1 for result in results}


@every_pool("prefork", but="gevent")
def test_a_cold_shutdown_loses_no_task(
    start: Callable[..., Worker], parcel: Parcel, pool: str
) -> None:
    worker = start(pool, **SOON)

    results = [parcel.handle_late.delay(0.2) for _ in range(TASKS)]
    wait_for(running, "a task", SECONDS)
    worker.process.send_signal(signal.SIGQUIT)
    worker.process.wait(SECONDS)
    assert len(ledger.ended()) < TASKS
    worker.__enter__()

    for result in results:
        result.get(timeout=SECONDS, propagate=False)
    failed = [result for result in results if result.failed()]
    # Celery interrupts what the solo pool is at, and records that.
    assert len(failed) <= (pool == "solo")
    assert all("kill_job" in str(result.result) for result in failed)
    others = [result for result in results if result not in failed]
    assert values(others) == [parcel.pk] * len(others)
    assert ledger.ended().keys() == {result.id for result in others}
