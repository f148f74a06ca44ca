"""Database servers that are stopped, and started again, while tasks are on their way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.servers import Server
from tests.worker.workers import Worker

from . import ledger
from .conftest import every_way
from .sessions import wait_for
from .test_connections import make, put_off

TASKS = 500
OUTAGE_SECONDS = 10
SECONDS = 150


@pytest.fixture
def server(request: pytest.FixtureRequest, alias: str) -> Server:
    """The server that ``alias`` leads to."""
    found: Server = request.getfixturevalue("mariadb" if alias == "maria" else "postgres")
    return found


def outage(server: Server, results: list[AsyncResult[Any]]) -> None:
    """Stop the server when some tasks are done, and start it again after ten seconds."""
    wait_for(lambda: len(ledger.begun()) >= len(results) // 10, "the first tasks", SECONDS)
    server.stop()
    done = len(ledger.begun())
    assert done < len(results)
    try:
        time.sleep(OUTAGE_SECONDS)
        # The last method that had its row when the server stopped has ended long ago.
        assert len(ledger.begun()) <= done + 20
    finally:
        server.start()


@every_way(("default", "prefork"), ("maria", "threads"))
def test_no_task_is_lost_or_run_twice_where_its_database_is_away(
    start: Callable[..., Worker], server: Server, alias: str, pool: str
) -> None:
    worker = start(pool)
    parcels = [make(alias) for _ in range(5)]

    results = [parcels[number % 5].handle.delay(0.01) for number in range(TASKS)]
    outage(server, results)

    values = [result.get(timeout=SECONDS) for result in results]
    assert values == [parcels[number % 5].pk for number in range(TASKS)]
    assert ledger.begun() == {result.id: 1 for result in results}
    assert "fetches its rows again" in worker.log.read_text()


@pytest.mark.long
@pytest.mark.parametrize("alias", ["default", "maria"])
def test_a_method_that_writes_counts_once_where_it_retries_in_its_transaction(
    shared: Callable[..., Worker], server: Server, alias: str
) -> None:
    shared("prefork")
    parcel = make(alias)

    results = [parcel.weigh.delay() for _ in range(TASKS)]
    outage(server, results)

    for result in results:
        result.get(timeout=SECONDS)
    parcel.refresh_from_db()
    assert parcel.weight == TASKS


@pytest.mark.parametrize("alias", ["default"])
@pytest.mark.parametrize("ends", ["terminate", pytest.param("kill", marks=pytest.mark.long)])
def test_what_was_put_off_outlives_the_worker(
    start: Callable[..., Worker], server: Server, alias: str, ends: str
) -> None:
    parcel = make(alias)
    # Longer than what a fetch is put off for. Redis gives back ten messages every ten seconds.
    options = {"BROKER_TRANSPORT_OPTIONS": {"visibility_timeout": 12}} if ends == "kill" else {}
    first = start("threads", **options)
    server.stop()
    try:
        # Killed, only a message that is acknowledged late is safe while it is sent again.
        method = parcel.handle_late if ends == "kill" else parcel.handle
        results = [method.delay() for _ in range(8)]
        wait_for(lambda: all(put_off(first, result.id) for result in results), "all to be put off")
        getattr(first.process, ends)()
        first.process.wait()
    finally:
        server.start()

    first.__enter__()

    assert [result.get(timeout=SECONDS) for result in results] == [parcel.pk] * 8
    assert ledger.begun().keys() == {result.id for result in results}
    if ends == "terminate":
        assert set(ledger.begun().values()) == {1}


@pytest.mark.long
@pytest.mark.parametrize("alias", ["default"])
def test_a_database_that_stays_away_ends_the_task_with_its_error(
    start: Callable[..., Worker], server: Server, alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTS_CEREAL", '{"FETCH_MAX_RETRIES": 2, "FETCH_RETRY_BACKOFF": 0.1}')
    worker = start("threads")
    parcel = make(alias)
    server.stop()
    try:
        result = parcel.handle.delay()
        wait_for(result.ready, "the end")
    finally:
        server.start()

    assert result.state == "FAILURE"
    assert type(result.result).__name__ == "OperationalError"
    assert put_off(worker, result.id) == 2
    assert ledger.begun() == {}


def test_a_locked_sqlite_file_puts_a_fetch_off(shared: Callable[..., Worker], sqlite: Path) -> None:
    worker = shared("prefork")
    parcel = make("sqlite")
    other = sqlite3.connect(sqlite, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    result = parcel.handle.delay()
    wait_for(lambda: put_off(worker, result.id), "the fetch to be put off")
    other.execute("ROLLBACK")
    other.close()

    assert result.get(timeout=SECONDS) == parcel.pk
    assert ledger.begun() == {result.id: 1}
