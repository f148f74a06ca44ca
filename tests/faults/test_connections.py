"""Connections that the server ends, between two fetches and in the middle of one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery.result import AsyncResult
from django.db import OperationalError, connections, transaction

from cereal_methods import BulkResult
from cereal_methods.exceptions import ConnectionLost
from cereal_methods.results.ids import message_id
from tests.worker.workers import Worker

from . import ledger
from .conftest import KEEPS, every_pool, every_way
from .models import Parcel, Sender, handle_all
from .sessions import Sessions, wait_for

SECONDS = 60


def make(alias: str) -> Parcel:
    """Make a parcel, by a connection that is not there any more."""
    sender = Sender.objects.using(alias).create()
    parcel = Parcel.objects.using(alias).create(sender=sender)
    disconnect()
    return parcel


def disconnect() -> None:
    """Leave no session of the tests' own."""
    for connection in connections.all(initialized_only=True):
        connection.close()
        if getattr(connection, "pool", None):
            connection.close_pool()


def put_off(worker: Worker, task_id: str) -> int:
    """Return how often a task's fetch was put off."""
    return worker.log.read_text().count(f"[{task_id}] fetches its rows again")


def batch(method: Any, *parcels: Parcel) -> BulkResult:
    """Send a method for parcels in one message."""
    result: BulkResult = method.bulk_apply_async(parcels, batch_size=len(parcels))
    return result


#: What a worker fetches, in each way that it has.
SENT: dict[str, Callable[[Parcel, Parcel], Any]] = {
    "method": lambda parcel, _: parcel.handle.delay(),
    "json": lambda parcel, _: parcel.handle_as_json.delay(),
    "two models": lambda parcel, _: parcel.handle.delay(0, parcel.sender),
    "related": lambda parcel, _: parcel.handle_related.delay(),
    "locked": lambda parcel, _: parcel.handle_locked.delay(),
    "function": lambda parcel, other: handle_all.delay([parcel, other], [parcel.sender]),
    "batch": lambda *parcels: batch(Parcel.handle, *parcels),
    "batch locked one by one": lambda *parcels: batch(Parcel.handle_locked, *parcels),
    "batch locked": lambda *parcels: batch(Parcel.handle_together, *parcels),
}


@every_pool("prefork", "gevent")
@pytest.mark.parametrize("settings", [{}, KEEPS], ids=["closes", "keeps"])
def test_sessions_killed_between_tasks_fail_none(
    shared: Callable[..., Worker], alias: str, sessions: Sessions, pool: str, settings: Any
) -> None:
    if settings and pool == "gevent":
        pytest.skip("a greenlet runs one task: what it keeps is lost to the others")
    worker = shared(pool, **settings)
    parcel = make(alias)
    # Celery closes a prefork worker's pools.
    keeps = settings or (alias == "pooled" and pool != "prefork")

    for _ in range(5):
        results = [parcel.handle.delay() for _ in range(4)]
        assert [result.get(timeout=SECONDS) for result in results] == [parcel.pk] * 4
        assert [put_off(worker, result.id) for result in results] == [0] * 4
        killed = sessions.kill_all()
        assert killed or not keeps
    assert list(ledger.begun().values()) == [1] * 20


@pytest.mark.parametrize("sent", SENT)
def test_a_session_killed_in_the_middle_of_fetching_is_replaced_at_once(
    shared: Callable[..., Worker], alias: str, sessions: Sessions, sent: str
) -> None:
    worker = shared("prefork")
    parcel, other = make(alias), make(alias)

    with sessions.locked("faults_parcel"):
        result = SENT[sent](parcel, other)
        victim = sessions.wait_for_blocked()
        sessions.kill(victim)
        sessions.wait_for_blocked(victim)

    result.get(timeout=SECONDS)
    is_bulk = isinstance(result, BulkResult)
    assert put_off(worker, message_id(result.id, 0) if is_bulk else result.id) == 0
    assert list(ledger.begun().values()) == [1] * (2 if sent.startswith("batch") else 1)


@every_way(("default", "threads"), ("pooled", "gevent"), ("maria", "prefork"))
@pytest.mark.parametrize("sent", ["method", "locked"])
def test_a_fetch_whose_sessions_are_killed_twice_is_put_off(
    shared: Callable[..., Worker], alias: str, sessions: Sessions, pool: str, sent: str
) -> None:
    worker = shared(pool)
    parcel, other = make(alias), make(alias)

    with sessions.locked("faults_parcel"):
        result = SENT[sent](parcel, other)
        first = sessions.wait_for_blocked()
        sessions.kill(first)
        second = sessions.wait_for_blocked(first)
        sessions.kill(second)
        wait_for(lambda: put_off(worker, result.id), "the fetch to be put off")

    assert result.get(timeout=SECONDS) == parcel.pk
    assert list(ledger.begun().values()) == [1]


@contextmanager
def killing(sessions: Sessions) -> Iterator[list[int]]:
    """Kill all sessions again and again."""
    killed = []
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.1):
            killed.append(sessions.kill_all())

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        done.set()
        killer.join()


@every_way(("default", "threads"), ("maria", "prefork"))
def test_sessions_killed_all_the_time_fail_no_task(
    shared: Callable[..., Worker], alias: str, sessions: Sessions, pool: str
) -> None:
    shared(pool, **({} if pool == "gevent" else KEEPS))
    parcel = make(alias)

    with killing(sessions) as killed:
        results = [parcel.handle.delay(0.01) for _ in range(200)]
        assert [result.get(timeout=SECONDS) for result in results] == [parcel.pk] * 200

    assert sum(killed) >= 5
    assert list(ledger.begun().values()) == [1] * 200


@pytest.mark.parametrize("alias", ["maria"])
@every_pool("prefork")
def test_a_server_that_ends_idle_sessions_fails_no_task(
    shared: Callable[..., Worker], alias: str, sessions: Sessions, pool: str
) -> None:
    worker = shared(pool, **KEEPS)
    parcel = make(alias)
    sessions.ask("SET GLOBAL wait_timeout = 1")
    sessions.kill_all()
    try:
        for _ in range(3):
            result = parcel.handle.delay()
            assert result.get(timeout=SECONDS) == parcel.pk
            assert put_off(worker, result.id) == 0
            assert sessions.all() or pool == "gevent"
            wait_for(lambda: not sessions.all(), "the server to end idle sessions")
    finally:
        sessions.ask("SET GLOBAL wait_timeout = 28800")


def returned(
    shared: Callable[..., Worker], alias: str, times: int = 1
) -> tuple[Parcel, list[AsyncResult[Any]]]:
    """Let a worker return a parcel; give it, and the results, which nobody has read."""
    shared("threads")
    parcel = make(alias)
    results = [parcel.itself.delay() for _ in range(times)]
    for result in results:
        wait_for(result.ready, "the result")
    return parcel, results


def test_a_result_is_read_after_its_readers_session_was_killed(
    shared: Callable[..., Worker], alias: str, sessions: Sessions
) -> None:
    parcel, results = returned(shared, alias, 3)

    for result in results:
        assert Parcel.objects.using(alias).get(pk=parcel.pk) == parcel
        assert sessions.kill_all() >= 1
        assert result.get(timeout=SECONDS) == parcel


def test_a_result_is_read_though_its_readers_session_is_killed_on_the_way(
    shared: Callable[..., Worker], alias: str, sessions: Sessions
) -> None:
    parcel, (result,) = returned(shared, alias)
    found = []

    def read() -> None:
        found.append(result.get(timeout=SECONDS))
        connections.close_all()

    with sessions.locked("faults_parcel"):
        reader = threading.Thread(target=read)
        reader.start()
        victim = sessions.wait_for_blocked()
        sessions.kill(victim)
        sessions.wait_for_blocked(victim)
    reader.join(SECONDS)

    assert found == [parcel]


def test_in_a_transaction_nothing_is_connected_again(
    shared: Callable[..., Worker], alias: str, sessions: Sessions
) -> None:
    parcel, (result,) = returned(shared, alias)

    with pytest.raises(ConnectionLost) as caught, transaction.atomic(using=alias):
        Parcel.objects.using(alias).create(weight=99)
        sessions.kill_all()
        try:
            result.get(timeout=SECONDS)
        finally:
            with pytest.raises(OperationalError):
                Parcel.objects.using(alias).count()

    text = str(caught.value)
    assert text.startswith(
        f"The connection to the database {alias!r} was lost inside a transaction, while rows were "
        "fetched: OperationalError: "
    )
    assert text.endswith(
        ". The transaction is lost with it. Leave the atomic block, and run it again from its "
        "beginning."
    )
    assert caught.value.about == alias
    assert result.get(timeout=SECONDS) == parcel
    assert not Parcel.objects.using(alias).filter(weight=99).exists()


@pytest.mark.parametrize("alias", ["default"])
def test_a_query_that_fails_in_a_transaction_is_no_lost_connection(
    shared: Callable[..., Worker], alias: str, sessions: Sessions
) -> None:
    parcel, (result,) = returned(shared, alias)

    with pytest.raises(OperationalError, match="lock timeout") as caught, transaction.atomic():
        with connections[alias].cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = 100")
        with sessions.locked("faults_parcel"):
            result.get(timeout=SECONDS)

    assert type(caught.value) is OperationalError
    assert result.get(timeout=SECONDS) == parcel
