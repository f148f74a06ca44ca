"""Durable tasks on real workers of each pool: sending, running, waiting and ending."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from celery import chain, chord
from django.db import transaction

from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account
from tests.bank.tasks import transfer
from tests.celery import app

from .bank import (
    RELAY,
    SECONDS,
    again,
    amounts,
    ended,
    wait_for_duplicate,
    wait_until_idle,
)
from .workers import Worker

POOLS = {
    "prefork": ("--pool=prefork", "--concurrency=2"),
    "threads": ("--pool=threads", "--concurrency=10", "--prefetch-multiplier=1"),
    "solo": ("--pool=solo",),
}

#: Tests of a worker whose tasks run in processes that may die, or in many threads.
on_prefork = pytest.mark.parametrize("worker", ["prefork"], indirect=True)
on_threads = pytest.mark.parametrize("worker", ["threads"], indirect=True)


@pytest.fixture(scope="module", params=POOLS)
def worker(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker of each pool, with a relay; the one with threads has psycopg's pool as well."""
    environment = {"TEST_POOL": "1"} if request.param == "threads" else {}
    found = start_worker(
        *POOLS[request.param], **RELAY, TEST_DURABLE_MAX_CRASHES="2", **environment
    )
    yield found
    found.__exit__()


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="A")


def test_a_committed_call_runs_and_its_record_is_done(worker: Worker, account: Account) -> None:
    with transaction.atomic():
        result = account.charge.delay(250)
    assert result.get(timeout=SECONDS) == 250
    record = ended(result.id)
    assert (record.attempts, record.error, bytes(record.body)) == (1, "", b"")
    assert amounts(account) == [250]


def test_a_run_costs_a_query_to_take_and_one_to_end(worker: Worker, account: Account) -> None:
    account.charge.delay(1).get(timeout=SECONDS)
    verbs = [
        event["sql"].split()[0]
        for event in worker.events()
        if event["what"] == "query"
        and not event["sql"].startswith("SET")
        and '"send_at" <=' not in event["sql"]  # the relay's
    ]
    assert verbs == ["SELECT", "SELECT", "INSERT", "UPDATE"]


def test_a_duplicate_runs_nothing_and_hands_the_result_on(worker: Worker, account: Account) -> None:
    result = account.charge.delay(3)
    assert result.get(timeout=SECONDS) == 3
    result.forget()
    again(result.id, "charge", account, (3,))
    assert app.AsyncResult(result.id).get(timeout=SECONDS) == 3
    assert amounts(account) == [3]


def test_an_instance_is_handed_on_as_a_row(worker: Worker, account: Account) -> None:
    result = account.itself.delay()
    assert result.get(timeout=SECONDS) == account
    result.forget()
    again(result.id, "itself", account, ())
    assert app.AsyncResult(result.id).get(timeout=SECONDS) == account


def test_a_failure_rolls_back_and_is_recorded(worker: Worker, account: Account) -> None:
    result = account.reject.delay(5)
    with pytest.raises(ValueError, match="5 is too much"):
        result.get(timeout=SECONDS)
    record = ended(result.id, State.FAILED)
    assert record.error == "ValueError: 5 is too much."
    assert "in reject" in record.traceback
    assert amounts(account) == []


def test_a_retry_is_a_wait_in_the_table(worker: Worker, account: Account) -> None:
    result = account.insist.delay(4, 2)
    assert result.get(timeout=SECONDS) == 4
    record = ended(result.id)
    assert (record.attempts, record.turn) == (3, 2)
    assert amounts(account) == [4]


def test_a_chain_of_durable_tasks_runs_to_its_end(worker: Worker, account: Account) -> None:
    result = chain(account.charge.s(1), account.add.s(2), account.add.s(3)).delay()
    assert result.get(timeout=SECONDS) == 6
    assert amounts(account) == [1, 3, 6]


def test_a_chord_of_durable_tasks_runs_to_its_end(worker: Worker, account: Account) -> None:
    result = chord([account.charge.s(n) for n in range(5)], account.collect.s()).delay()
    assert result.get(timeout=SECONDS) == 10
    assert amounts(account) == [0, 1, 2, 3, 4, 10]


def test_a_function_runs_in_a_transaction_too(worker: Worker, account: Account) -> None:
    other = Account.objects.create()
    result = transfer.delay(account, other, 9)
    assert result.get(timeout=SECONDS) == 9
    assert ended(result.id).model == ""
    assert amounts(account) == [-9]


def test_a_replacement_goes_on_under_the_same_record(worker: Worker, account: Account) -> None:
    result = account.hand_over.delay(10)
    assert result.get(timeout=SECONDS) == 11
    assert ended(result.id).task.endswith("charge")
    assert amounts(account) == [10, 11]


@pytest.mark.parametrize("method", ["hand_over_to_many", "hand_over_to_plain"])
def test_a_chain_goes_on_in_the_place_of_a_task(
    worker: Worker, account: Account, method: str
) -> None:
    result = chain(getattr(account, method).s(10), account.add.s(100)).delay()
    assert result.get(timeout=SECONDS) == 112
    assert amounts(account) == [10, 11, 12, 112]
    again(result.parent.id, method, account, (10,), {"cereal_record": ["default", 0]})
    wait_for_duplicate(worker, result.parent.id)
    wait_until_idle(worker)
    assert amounts(account) == [10, 11, 12, 112]


def test_a_message_without_a_record_gets_one(worker: Worker, account: Account) -> None:
    name = account.charge.name
    task_id = uuid.uuid4().hex
    for _ in range(2):
        app.send_task(name, (6,), {"this": account.pk}, task_id=task_id)
        app.AsyncResult(task_id).get(timeout=SECONDS)
    wait_for_duplicate(worker, task_id)
    assert ended(task_id).row == str(account.pk)
    assert amounts(account) == [6]


def test_a_row_that_is_gone_cancels_the_record(worker: Worker, account: Account) -> None:
    with transaction.atomic():
        result = account.close.delay()
        account.delete()
    assert "does not exist" in ended(result.id, State.CANCELED).error


def test_a_bulk_runs_once_for_each_row(worker: Worker) -> None:
    accounts = [Account.objects.create() for _ in range(10)]
    result = Account.charge.bulk_delay(accounts, 2)
    assert result.get(timeout=SECONDS) == [2] * 10
    assert [amounts(each) for each in accounts] == [[2]] * 10


def test_effects_without_a_transaction_of_the_library(worker: Worker, account: Account) -> None:
    result = account.pay.delay(8)
    assert result.get(timeout=SECONDS) == 8
    assert ended(result.id).attempts == 1
    again(result.id, "pay", account, (8,))
    wait_for_duplicate(worker, result.id)
    assert amounts(account) == [8]


def test_the_relay_sends_what_is_due(worker: Worker, account: Account) -> None:
    """A countdown is a wait in the table, and a worker's relay ends it."""
    begun = time.monotonic()
    result = account.charge.apply_async((1,), countdown=1)
    assert result.get(timeout=SECONDS) == 1
    assert time.monotonic() - begun > 0.9


def test_the_relay_sends_what_its_sender_could_not(
    worker: Worker, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cereal_methods.records import outboxes

    monkeypatch.setattr(outboxes, "send", lambda *args: None)  # the process has died
    result = account.charge.delay(1)
    assert result.get(timeout=SECONDS) == 1


def test_a_retry_with_a_countdown_waits_in_the_table(worker: Worker, account: Account) -> None:
    result = account.insist.delay(4, 1, countdown=1)
    record = ended(result.id, State.WAITING)
    assert record.turn == 1
    assert result.get(timeout=SECONDS) == 4


@on_threads
def test_a_method_without_a_transaction_runs_one_at_a_time(
    worker: Worker, account: Account
) -> None:
    """A duplicate that comes while it runs ends there; its effects are not rolled back."""
    result = account.pay.delay(8, 2)
    worker.wait_for(lambda: TaskRecord.objects.running().exists(), "the task to begin")
    again(result.id, "pay", account, (8, 2))
    wait_for_duplicate(worker, result.id, "was delivered again while it is running")
    assert result.get(timeout=SECONDS) == 8
    assert amounts(account) == [8]
    assert ended(result.id).attempts == 1


@on_threads
def test_a_duplicate_that_comes_while_it_runs_ends_there(worker: Worker, account: Account) -> None:
    result = account.dawdle.delay(8, 2)
    worker.wait_for(lambda: worker.events(), "the task to begin")
    again(result.id, "dawdle", account, (8, 2))
    wait_for_duplicate(worker, result.id, "was delivered again while it is running")
    assert result.get(timeout=SECONDS) == 8
    assert amounts(account) == [8]


@on_prefork
def test_a_task_that_ends_its_process_runs_again(worker: Worker, account: Account) -> None:
    result = account.die.delay(11, 1)
    assert result.get(timeout=SECONDS) == 11
    assert amounts(account) == [11]


@on_prefork
def test_a_task_that_ends_its_process_too_often_fails(worker: Worker, account: Account) -> None:
    result = account.die.delay(12, 99)
    record = ended(result.id, State.FAILED, seconds=60)
    assert record.error == (
        "RecordedFailure: The process that ran it ended 2 times before the method returned."
    )
    assert amounts(account) == []
    with pytest.raises(Exception, match="ended 2 times"):
        result.get(timeout=SECONDS)


@on_prefork
def test_a_hard_time_limit_fails_the_record(worker: Worker, account: Account) -> None:
    result = account.dawdle.apply_async((13, 30), time_limit=1)
    assert ended(result.id, State.FAILED).error == "TimeLimitExceeded: TimeLimitExceeded(1,)"
    assert amounts(account) == []


@on_prefork
def test_a_canceled_task_never_begins(worker: Worker, account: Account) -> None:
    result = account.charge.apply_async((14,), countdown=1)
    assert TaskRecord.objects.get(pk=result.id).cancel()
    later = account.charge.apply_async((15,), countdown=1)
    assert later.get(timeout=SECONDS) == 15
    assert amounts(account) == [15]
    record = TaskRecord.objects.get(pk=result.id)
    assert record.state == State.CANCELED
    assert record.retry()
    assert result.get(timeout=SECONDS) == 14


@on_prefork
def test_a_revoked_task_is_canceled(worker: Worker, account: Account) -> None:
    app.control.revoke("to-be-revoked", destination=[worker.name], reply=True)
    account.charge.apply_async((15,), task_id="to-be-revoked")
    assert ended("to-be-revoked", State.CANCELED).error == "revoked"
    assert amounts(account) == []


@on_prefork
def test_a_task_that_nobody_took_in_time_expires(worker: Worker, account: Account) -> None:
    result = account.charge.apply_async((16,), countdown=1, expires=0.5)
    assert "No worker took it before" in ended(result.id, State.EXPIRED).error
    assert amounts(account) == []


@on_prefork
def test_a_failed_task_is_retried_with_its_very_message(worker: Worker, account: Account) -> None:
    result = account.reject.delay(17)
    ended(result.id, State.FAILED)
    assert TaskRecord.objects.failed().for_instance(account).retry() == 1
    record = ended(result.id, State.FAILED)
    assert record.attempts == 2
