"""Bulks of durable methods in batches: each row once, and no row for another's sake."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connections, transaction

from cereal_methods.records import outboxes
from cereal_methods.records.models import State, TaskRecord
from cereal_methods.results.ids import message_id, row_id
from tests.bank.models import Account, Entry
from tests.celery import app

from .bank import RELAY, SECONDS, amounts, ended, put_into, take_from, wait_until_idle
from .workers import Worker

pytestmark = pytest.mark.django_db(transaction=True)

POOLS = {
    "prefork": ("--pool=prefork", "--concurrency=2"),
    "threads": ("--pool=threads", "--concurrency=4", "--prefetch-multiplier=1"),
}

on_prefork = pytest.mark.parametrize("worker", ["prefork"], indirect=True)


@pytest.fixture(scope="module", params=POOLS)
def worker(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker of each pool, with a relay."""
    found = start_worker(*POOLS[request.param], **RELAY, TEST_DURABLE_MAX_CRASHES="2")
    yield found
    found.__exit__()


def accounts(*names: str) -> list[Account]:
    return [Account.objects.create(name=name) for name in names]


def test_a_batch_has_one_record_and_runs_each_row_once(worker: Worker) -> None:
    rows = accounts(*"abcde")
    with transaction.atomic():
        result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3)
        assert TaskRecord.objects.count() == 2
    assert result.get(timeout=SECONDS) == [7] * 5
    assert [amounts(row) for row in rows] == [[7]] * 5
    record = ended(message_id(result.id, 0))
    assert (record.attempts, record.error, bytes(record.body)) == (1, "", b"")
    assert (record.model, record.row) == ("bank.Account", "")
    assert TaskRecord.objects.count() == 2


def test_what_is_rolled_back_is_not_sent(worker: Worker) -> None:
    rows = accounts("a", "b")
    with transaction.atomic():
        Account.settle.bulk_apply_async(rows, (7,), batch_size=2)
        transaction.set_rollback(True)
    wait_until_idle(worker)
    assert not TaskRecord.objects.exists()
    assert not Entry.objects.exists()


def test_a_row_that_fails_is_rolled_back_alone_and_has_a_record(worker: Worker) -> None:
    rows = accounts("a", "fail", "c")
    result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3)
    counts = result.wait(timeout=SECONDS)
    assert (counts.succeeded, counts.failed) == (2, 1)
    assert [amounts(row) for row in rows] == [[7], [], [7]]
    text = f"ValueError: {rows[1].pk} is too much."
    assert ended(message_id(result.id, 0)).error == (
        f"1 of 3 rows failed; the first has the key {rows[1].pk}: {text}"
    )
    record = TaskRecord.objects.for_instance(rows[1]).get()
    assert (record.state, record.error, record.attempts) == (State.FAILED, text, 1)
    assert "in settle" in record.traceback
    Account.objects.filter(pk=rows[1].pk).update(name="b")
    assert record.retry()
    ended(record.pk)
    assert [amounts(row) for row in rows] == [[7], [7], [7]]


def test_a_row_that_is_gone_is_missing(worker: Worker) -> None:
    rows = accounts("a", "b", "c")
    with transaction.atomic():
        result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3)
        Account.objects.filter(pk=rows[1].pk).delete()
    counts = result.wait(timeout=SECONDS)
    assert (counts.succeeded, counts.missing) == (2, 1)
    assert "1 of 3 rows were missing" in ended(message_id(result.id, 0)).error


def test_a_row_that_retries_continues_by_a_record_of_its_own(worker: Worker) -> None:
    rows = accounts("a", "retry 2", "c")
    result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3)
    assert result.get(timeout=SECONDS) == [7] * 3
    assert [amounts(row) for row in rows] == [[7], [7], [7]]
    record = ended(row_id(message_id(result.id, 0), 1))
    assert (record.turn, record.row) == (1, str(rows[1].pk))


def test_a_row_that_is_replaced_keeps_what_it_did(worker: Worker) -> None:
    rows = accounts("a", "replace", "c")
    result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3)
    assert result.get(timeout=SECONDS) == [7, 8, 7]
    assert [amounts(row) for row in rows] == [[7], [7, 8], [7]]


def test_a_locked_row_waits_by_a_record_of_its_own(worker: Worker) -> None:
    rows = accounts("a", "b", "c")
    other = connections["default"].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM bank_account WHERE id = %s FOR UPDATE", [rows[1].pk])
        result = Account.settle_locked.bulk_apply_async(rows, (7,), batch_size=3)
        ended(message_id(result.id, 0))
        assert [amounts(row) for row in rows] == [[7], [], [7]]
    finally:
        other.close()
    assert result.get(timeout=SECONDS) == [7] * 3
    assert [amounts(row) for row in rows] == [[7], [7], [7]]


@pytest.mark.parametrize("method", ["settle", "settle_alone"])
def test_a_duplicate_runs_nothing_and_hands_the_results_on(worker: Worker, method: str) -> None:
    rows = accounts("a", "b")
    send_to_nobody(rows, method)
    (message,) = take_from("nobody")
    put_into(worker.queue, message)
    batch = message["headers"]["id"]
    ended(batch)
    outcome = app.AsyncResult(batch).get(timeout=SECONDS)
    app.AsyncResult(batch).forget()
    put_into(worker.queue, message)
    assert app.AsyncResult(batch).get(timeout=SECONDS) == outcome
    assert [amounts(row) for row in rows] == [[7]] * 2


@on_prefork
@pytest.mark.parametrize("method", ["settle", "settle_alone"])
def test_a_batch_whose_process_is_killed_runs_again(worker: Worker, method: str) -> None:
    rows = accounts("a", "sleep 3", "c")
    result = getattr(Account, method).bulk_apply_async(rows, (7,), batch_size=3)
    begun = worker.wait_for(
        lambda: [event for event in worker.events() if event.get("amount") == rows[1].pk],
        "the second row",
    )
    os.kill(begun[0]["pid"], signal.SIGKILL)
    assert result.get(timeout=SECONDS) == [7] * 3
    # Without a transaction the row that was running has kept its effect, and no other runs again.
    twice = [7, 7] if method == "settle_alone" else [7]
    assert [amounts(row) for row in rows] == [[7], twice, [7]]
    assert ended(message_id(result.id, 0)).crashes == 0


@on_prefork
@pytest.mark.parametrize("method", ["settle", "settle_alone"])
def test_a_task_is_not_lost_whose_dead_process_still_holds_the_lock(
    worker: Worker, method: str
) -> None:
    """The server ends the session of a dead process only after its query."""
    (row,) = accounts("query 3")
    result = getattr(row, method).delay(7)
    (begun, *_) = worker.wait_for(
        lambda: [event for event in worker.events() if event.get("amount") == row.pk],
        "the task to begin",
    )
    time.sleep(0.5)  # it is in the query now
    os.kill(begun["pid"], signal.SIGKILL)
    assert result.get(timeout=SECONDS) == 7
    assert amounts(row) == ([7] if method == "settle" else [7, 7])


@on_prefork
@pytest.mark.parametrize("method", ["settle", "settle_alone"])
def test_a_row_that_ends_its_process_each_time_fails_alone(worker: Worker, method: str) -> None:
    rows = accounts("a", "die 99", "c")
    result = getattr(Account, method).bulk_apply_async(rows, (7,), batch_size=3)
    record = ended(row_id(message_id(result.id, 0), 1), State.FAILED, seconds=60)
    assert "ended 2 times" in record.error
    counts = result.wait(timeout=SECONDS)
    assert (counts.succeeded, counts.failed) == (2, 1)
    assert [amounts(row) for row in (rows[0], rows[2])] == [[7], [7]]
    assert "run by themselves" in ended(message_id(result.id, 0)).error


@on_prefork
def test_a_row_that_reaches_the_hard_time_limit_fails_alone(worker: Worker) -> None:
    rows = accounts("a", "sleep 9", "c")
    result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3, time_limit=2)
    counts = result.wait(timeout=SECONDS)
    assert (counts.succeeded, counts.failed) == (2, 1)
    assert [amounts(row) for row in rows] == [[7], [], [7]]


@on_prefork
def test_rows_after_a_soft_time_limit_continue_in_another_message(worker: Worker) -> None:
    rows = accounts("a", "sleep 9", "c")
    result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3, soft_time_limit=2)
    counts = result.wait(timeout=SECONDS)
    assert (counts.succeeded, counts.failed) == (2, 1)
    assert [amounts(row) for row in rows] == [[7], [], [7]]


def test_a_canceled_batch_never_begins(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "send", lambda *args: None)  # the relay has to send it
    rows = accounts("a", "b")
    result = Account.settle.bulk_apply_async(rows, (7,), batch_size=2, countdown=1)
    record = TaskRecord.objects.get(pk=message_id(result.id, 0))
    assert record.cancel()
    time.sleep(2)
    assert not Entry.objects.exists()
    assert record.retry()
    assert result.get(timeout=SECONDS) == [7] * 2
    assert [amounts(row) for row in rows] == [[7]] * 2


def test_a_failed_commit_lets_each_row_run_alone(worker: Worker) -> None:
    """A deferred constraint is checked at the commit, which is that of all rows."""
    rows = accounts("a", "orphan", "c")
    result = Account.settle.bulk_apply_async(rows, (7,), batch_size=3)
    counts = result.wait(timeout=SECONDS)
    assert (counts.succeeded, counts.failed) == (2, 1)
    assert [amounts(row) for row in rows] == [[7], [], [7]]


def send_to_nobody(rows: list[Account], method: str) -> None:
    getattr(Account, method).bulk_apply_async(rows, (7,), batch_size=9, queue="nobody")
