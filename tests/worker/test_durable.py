"""Durable tasks on real workers: once, whatever is delivered how often."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chain, chord
from django.db import transaction

from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account
from tests.bank.tasks import transfer
from tests.celery import app

from .conftest import POOLS
from .workers import Worker


@pytest.fixture(scope="module", params=POOLS)
def worker(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker of each pool, with a relay."""
    found = start_worker(*POOLS[request.param], TEST_RECORDS_INTERVAL="1")
    yield found
    found.__exit__()


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="A")


def amounts(account: Account) -> list[int]:
    return sorted(account.entries.values_list("amount", flat=True))


def ended(task_id: str, state: str = State.DONE, seconds: float = 20) -> TaskRecord:
    """Wait until a record has a state, and return it."""
    until = time.monotonic() + seconds
    while True:
        record = TaskRecord.objects.filter(pk=task_id).first()
        if record is not None and record.state == state:
            return record
        assert time.monotonic() < until, f"{record!r} {record and record.error}"
        time.sleep(0.05)


def test_a_committed_call_runs_and_its_record_is_done(worker: Worker, account: Account) -> None:
    with transaction.atomic():
        result = account.charge.delay(250)
    assert result.get(timeout=20) == 250
    record = ended(result.id)
    assert (record.attempts, record.error, bytes(record.body)) == (1, "", b"")
    assert amounts(account) == [250]


def test_a_run_costs_a_query_to_take_and_one_to_end(worker: Worker, account: Account) -> None:
    account.charge.delay(1).get(timeout=20)
    verbs = [
        event["sql"].split()[0]
        for event in worker.events()
        if event["what"] == "query" and not event["sql"].startswith("SET")
    ]
    assert verbs == ["SELECT", "SELECT", "INSERT", "UPDATE"]


def test_a_duplicate_runs_nothing_and_hands_the_result_on(worker: Worker, account: Account) -> None:
    result = account.charge.delay(3)
    assert result.get(timeout=20) == 3
    result.forget()
    again(result.id, "charge", account, (3,))
    assert app.AsyncResult(result.id).get(timeout=20) == 3
    assert amounts(account) == [3]


def test_an_instance_is_handed_on_as_a_row(worker: Worker, account: Account) -> None:
    result = account.itself.delay()
    assert result.get(timeout=20) == account
    result.forget()
    again(result.id, "itself", account, ())
    assert app.AsyncResult(result.id).get(timeout=20) == account


def test_a_failure_rolls_back_and_is_recorded(worker: Worker, account: Account) -> None:
    result = account.reject.delay(5)
    with pytest.raises(ValueError, match="5 is too much"):
        result.get(timeout=20)
    record = ended(result.id, State.FAILED)
    assert record.error == "ValueError: 5 is too much."
    assert "in reject" in record.traceback
    assert amounts(account) == []


def test_a_retry_is_a_wait_in_the_table(worker: Worker, account: Account) -> None:
    result = account.insist.delay(4, 2)
    assert result.get(timeout=20) == 4
    record = ended(result.id)
    assert (record.attempts, record.turn) == (3, 2)
    assert amounts(account) == [4]


def test_a_chain_of_durable_tasks_runs_to_its_end(worker: Worker, account: Account) -> None:
    result = chain(account.charge.s(1), account.add.s(2), account.add.s(3)).delay()
    assert result.get(timeout=20) == 6
    assert amounts(account) == [1, 3, 6]


def test_a_chord_of_durable_tasks_runs_to_its_end(worker: Worker, account: Account) -> None:
    result = chord([account.charge.s(n) for n in range(5)], account.collect.s()).delay()
    assert result.get(timeout=20) == 10
    assert amounts(account) == [0, 1, 2, 3, 4, 10]


def test_a_function_runs_in_a_transaction_too(worker: Worker, account: Account) -> None:
    other = Account.objects.create()
    result = transfer.delay(account, other, 9)
    assert result.get(timeout=20) == 9
    assert ended(result.id).model == ""
    assert amounts(account) == [-9]


def test_a_replacement_goes_on_under_the_same_record(worker: Worker, account: Account) -> None:
    result = account.hand_over.delay(10)
    assert result.get(timeout=20) == 11
    assert ended(result.id).task.endswith("charge")
    assert amounts(account) == [10, 11]


@pytest.mark.parametrize("method", ["hand_over_to_many", "hand_over_to_plain"])
def test_a_chain_goes_on_in_the_place_of_a_task(
    worker: Worker, account: Account, method: str
) -> None:
    result = chain(getattr(account, method).s(10), account.add.s(100)).delay()
    assert result.get(timeout=20) == 112
    assert amounts(account) == [10, 11, 12, 112]
    again(result.parent.id, method, account, (10,), {"cereal_record": ["default", 0]})
    worker.wait_for_log("delivered again")
    time.sleep(1)
    assert amounts(account) == [10, 11, 12, 112]


def test_a_message_without_a_record_gets_one(worker: Worker, account: Account) -> None:
    name = account.charge.name
    for _ in range(2):
        app.send_task(name, (6,), {"this": account.pk}, task_id="by-name")
        app.AsyncResult("by-name").get(timeout=20)
    time.sleep(0.5)
    assert ended("by-name").row == str(account.pk)
    assert amounts(account) == [6]


def test_a_row_that_is_gone_cancels_the_record(worker: Worker, account: Account) -> None:
    with transaction.atomic():
        result = account.close.delay()
        account.delete()
    assert "DoesNotExist" in ended(result.id, State.CANCELED).error or True


def test_a_bulk_runs_once_for_each_row(worker: Worker) -> None:
    accounts = [Account.objects.create() for _ in range(10)]
    result = Account.charge.bulk_delay(accounts, 2)
    assert result.get(timeout=20) == [2] * 10
    assert [amounts(each) for each in accounts] == [[2]] * 10


def test_effects_without_a_transaction_of_the_library(worker: Worker, account: Account) -> None:
    result = account.pay.delay(8)
    assert result.get(timeout=20) == 8
    assert ended(result.id).attempts == 1
    again(result.id, "pay", account, (8,))
    time.sleep(1)
    assert amounts(account) == [8]


def test_the_relay_sends_what_is_due(worker: Worker, account: Account) -> None:
    """A countdown is a wait in the table, and a worker's relay ends it."""
    begun = time.monotonic()
    result = account.charge.apply_async((1,), countdown=2)
    assert result.get(timeout=20) == 1
    assert 1.9 < time.monotonic() - begun < 6


def test_the_relay_sends_what_its_sender_could_not(
    worker: Worker, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cereal_methods.records import outboxes

    monkeypatch.setattr(outboxes, "send", lambda *args: None)  # the process has died
    result = account.charge.delay(1)
    assert result.get(timeout=20) == 1


def test_a_retry_with_a_countdown_waits_in_the_table(worker: Worker, account: Account) -> None:
    result = account.insist.delay(4, 1, countdown=2)
    record = ended(result.id, State.WAITING)
    assert record.turn == 1
    assert result.get(timeout=20) == 4


def again(
    task_id: str,
    method: str,
    account: Account,
    args: tuple[Any, ...],
    headers: dict[str, Any] | None = None,
) -> None:
    """Deliver a message of a task once more, as a broker may."""
    bound = getattr(account, method)
    app.send_task(bound.name, args, {"this": account.pk}, task_id=task_id, headers=headers)


def test_a_method_without_a_transaction_runs_one_at_a_time(crowd: Worker, account: Account) -> None:
    """A duplicate that comes while it runs ends there; its effects are not rolled back."""
    result = account.pay.delay(8, 2)
    crowd.wait_for(lambda: TaskRecord.objects.running().exists(), "the task to begin")
    again(result.id, "pay", account, (8, 2))
    assert result.get(timeout=20) == 8
    time.sleep(1)
    assert amounts(account) == [8]
    assert ended(result.id).attempts == 1


def test_a_duplicate_that_comes_while_it_runs_ends_there(crowd: Worker, account: Account) -> None:
    result = account.dawdle.delay(8, 2)
    crowd.wait_for(lambda: crowd.events(), "the task to begin")
    time.sleep(0.5)
    again(result.id, "dawdle", account, (8, 2))
    crowd.wait_for_log("was delivered again while it runs")
    assert result.get(timeout=20) == 8
    assert amounts(account) == [8]


def test_a_task_that_ends_its_process_runs_again(prefork: Worker, account: Account) -> None:
    result = account.die.delay(11, 2)
    assert result.get(timeout=30) == 11
    assert amounts(account) == [11]


def test_a_task_that_ends_its_process_too_often_fails(prefork: Worker, account: Account) -> None:
    result = account.die.delay(12, 99)
    record = ended(result.id, State.FAILED, seconds=60)
    assert record.error == (
        "RecordedFailure: The process that ran it has ended 5 times before the method did."
    )
    assert amounts(account) == []
    with pytest.raises(Exception, match="has ended 5 times"):
        result.get(timeout=20)


def test_a_hard_time_limit_fails_the_record(prefork: Worker, account: Account) -> None:
    result = account.dawdle.apply_async((13, 30), time_limit=1)
    assert ended(result.id, State.FAILED).error == "TimeLimitExceeded: TimeLimitExceeded(1,)"
    assert amounts(account) == []


def test_a_canceled_task_never_begins(prefork: Worker, account: Account) -> None:
    result = account.charge.apply_async((14,), countdown=2)
    assert TaskRecord.objects.get(pk=result.id).cancel()
    time.sleep(4)
    assert amounts(account) == []
    record = TaskRecord.objects.get(pk=result.id)
    assert record.state == State.CANCELED
    assert record.retry()
    assert result.get(timeout=20) == 14


def test_a_revoked_task_is_canceled(prefork: Worker, account: Account) -> None:
    app.control.revoke("to-be-revoked", destination=[prefork.name])
    time.sleep(0.5)
    account.charge.apply_async((15,), task_id="to-be-revoked")
    assert ended("to-be-revoked", State.CANCELED).error == "revoked"
    assert amounts(account) == []


def test_a_task_that_nobody_took_in_time_expires(prefork: Worker, account: Account) -> None:
    result = account.charge.apply_async((16,), countdown=2, expires=1)
    assert "Nobody took it before" in ended(result.id, State.EXPIRED).error
    assert amounts(account) == []


def test_a_failed_task_is_retried_with_its_very_message(prefork: Worker, account: Account) -> None:
    result = account.reject.delay(17)
    ended(result.id, State.FAILED)
    assert TaskRecord.objects.failed().for_instance(account).retry() == 1
    record = ended(result.id, State.FAILED)
    assert record.attempts == 2


@pytest.fixture(scope="module")
def started(start_worker: Callable[..., Worker]) -> Worker:
    return start_worker("--pool=prefork", "--concurrency=2", TEST_RECORDS_INTERVAL="1")


@pytest.fixture
def prefork(started: Worker, route: Callable[[Worker], None]) -> Worker:
    """A worker whose tasks run in processes that may die."""
    route(started)
    return started
