"""Bulks whose workers are killed on the way: each row is run, and each is counted once.

The broker is RabbitMQ, which delivers a message again as soon as its worker is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.conf import settings

from cereal_methods import BulkResult
from tests.celery import app
from tests.shop.models import Order

from .conftest import POOLS, need
from .workers import Worker

ROWS = 20_000
BATCH = 200
SECONDS = 60

#: Every so many rows there is one that fails, and one that is gone.
BAD, GONE = 397, 401

# Celery's Redis backend stores with a command that redis-py 8 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

#: The rows at which a process waits to be killed.
STUCK = (2_500, 7_500, 12_500, 17_500)


def change_broker() -> None:
    """Take other connections from now on; kombu keeps those that there are."""
    app._pool = app.amqp._producer_pool = None


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[str]:
    """Use RabbitMQ, here and in workers, whatever the settings say."""
    need(settings.RABBITMQ_URL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", settings.RABBITMQ_URL)  # read by Celery itself
        change_broker()
        yield settings.RABBITMQ_URL
    change_broker()


@pytest.fixture
def worker(rabbitmq: str, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker on RabbitMQ, which may be killed and started again."""
    found = start_worker(*POOLS["prefork"])
    yield found
    found.__exit__()
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(found.queue)


def kill_worker(worker: Worker, stuck: list[int]) -> None:
    """Kill all of the worker, so that nothing of it can say goodbye, and start another."""
    stats = app.control.inspect([worker.name], timeout=10).stats()
    processes = stats[worker.name]["pool"]["processes"]
    assert set(stuck) <= set(processes)
    os.kill(worker.pid, signal.SIGKILL)
    for process in processes:
        with suppress(ProcessLookupError):  # it may end with its parent
            os.kill(process, signal.SIGKILL)
    worker.process.wait()
    worker.__enter__()


def kill_children(worker: Worker, stuck: list[int]) -> None:
    """Kill those processes of the pool that are stuck; the worker starts others."""
    for process in stuck:
        os.kill(process, signal.SIGKILL)


def finish(worker: Worker, result: BulkResult, kill: Any) -> tuple[list[dict[str, Any]], int]:
    """Kill whenever a process is stuck until all rows are done; return what the probe has seen."""
    events: list[dict[str, Any]] = []
    kills = 0

    def stuck() -> list[int]:
        new = worker.events()
        events.extend(new)
        return [event["pid"] for event in new if event["what"] == "stuck"]

    while pids := worker.wait_for(lambda: stuck() or result.ready(), "the rows"):
        if pids is True:
            break
        kill(worker, pids)
        kills += 1
    stuck()
    return events, kills


def counted_elsewhere(worker: Worker, result_id: str) -> Any:
    """Return what another process counts for a result that was saved."""
    command = [sys.executable, "-m", "tests.worker.programs.bulk_counts", result_id]
    return json.loads(subprocess.check_output(command, env=worker.environment, text=True))


@pytest.mark.parametrize("kill", [kill_worker, kill_children])
def test_each_row_is_run_and_counted_once_whatever_is_killed(worker: Worker, kill: Any) -> None:
    def kind(place: int) -> str:
        return "stuck" if place in STUCK else "bad" if place % BAD == 0 else str(place)

    rows = Order.objects.bulk_create(Order(number=kind(place)) for place in range(ROWS))
    keys = [row.pk for row in rows]
    gone = [key for place, key in enumerate(keys) if place % GONE == 1]
    bad = [row.pk for row in rows if row.number == "bad" and row.pk not in gone]
    Order.objects.filter(pk__in=gone).delete()

    result = Order.survive.bulk_apply_async(keys, batch_size=BATCH)
    result.save()
    events, kills = finish(worker, result, kill)

    counts = result.wait(timeout=SECONDS)
    assert kills >= 2  # two processes may be stuck at once
    assert [counts.total, counts.succeeded, counts.failed, counts.missing] == [
        ROWS,
        ROWS - len(bad) - len(gone),
        len(bad),
        len(gone),
    ]
    assert sorted(key for key, error in result.failures() if "ValueError" in error) == bad
    assert sorted(key for key, error in result.failures() if "DoesNotExist" in error) == gone
    runs = Counter(event["key"] for event in events if event["what"] == "begin")
    assert runs.keys() == set(keys) - set(gone)
    assert all(runs[keys[place]] >= 2 for place in STUCK)
    if kill is kill_children:  # and nothing else was on its way
        repeated = {keys.index(key) // BATCH for key, times in runs.items() if times > 1}
        assert repeated == {place // BATCH for place in STUCK}
    assert counted_elsewhere(worker, result.id) == [
        counts.total,
        counts.succeeded,
        counts.failed,
        counts.missing,
        sorted(bad + gone),
    ]
