"""Batches of durable methods: one record, and a transaction in which each row has a savepoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import pytest
from celery import Task, signals
from django.db import DatabaseError, IntegrityError, OperationalError, connection

from cereal_methods.records.models import State, TaskRecord
from cereal_methods.results.bulk import BulkResult
from cereal_methods.results.counts import Counts
from cereal_methods.results.ids import row_id
from cereal_methods.running.batches import journal
from tests.celery import app
from tests.shop.models import Order

from .odd import ACTIONS, deliver, odd_orders, rows_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("new_models"),
    pytest.mark.filterwarnings("ignore:Exception raised outside body"),
]

Sent = Callable[[], list[Any]]


class Batch(NamedTuple):
    """A durable batch that was sent."""

    result: BulkResult
    message: Any

    @property
    def id(self) -> str:
        """The id of its task and of its record."""
        return str(self.message.headers["id"])


def bulk(sent: Sent, *numbers: str, **options: Any) -> Batch:
    """Send a durable batch."""
    model = odd_orders(durable=True, **options)
    result = model.act.bulk_apply_async(rows_of(model, *numbers), batch_size=9)
    (message,) = sent()
    return Batch(result, message)


def rename(order: Order, task: Any) -> None:
    """Change the row."""
    Order.objects.filter(pk=order.pk).update(number="renamed")


def rename_and_fail(order: Order, task: Any) -> None:
    """Change the row, and fail."""
    rename(order, task)
    raise ValueError("it fails")


def acting(**actions: Callable[..., Any]) -> Any:
    return mock.patch.dict(ACTIONS, actions)


def numbers() -> list[str]:
    return list(Order.objects.order_by("pk").values_list("number", flat=True))


def test_the_rows_end_with_the_record(sent: Sent) -> None:
    batch = bulk(sent, "a", "b")
    deliver(batch.message)
    record = TaskRecord.objects.get()
    assert (record.pk, record.state, record.error) == (batch.id, State.DONE, "")
    assert batch.result.get() == ["a", "b"]


def test_a_batch_in_a_transaction_has_no_journal(sent: Sent) -> None:
    batch = bulk(sent, "look", "b")
    found = []
    with acting(look=lambda order, task: found.append(journal.path_of(batch.id).exists())):
        deliver(batch.message)
    assert found == [False]


def test_a_failed_row_is_rolled_back_and_recorded_with_its_message(sent: Sent) -> None:
    batch = bulk(sent, "first", "second", "c")
    with acting(first=rename, second=rename_and_fail):
        deliver(batch.message)
    assert numbers() == ["renamed", "second", "c"]
    record = TaskRecord.objects.get(pk=row_id(batch.id, 1))
    assert (record.state, record.error, record.attempts) == (
        State.FAILED,
        "ValueError: it fails",
        1,
    )
    assert record.envelope
    assert sent() == []
    assert batch.result.counts() == Counts(3, succeeded=2, failed=1)


def test_a_value_that_cannot_be_stored_fails_its_row_alone(sent: Sent) -> None:
    batch = bulk(sent, "locks", "b")
    deliver(batch.message)
    assert batch.result.counts() == Counts(2, succeeded=1, failed=1)
    assert TaskRecord.objects.get(pk=row_id(batch.id, 0)).state == State.FAILED


@pytest.mark.parametrize("number", ["ignored", "requeued"])
def test_a_row_that_has_not_failed_has_no_failed_record(sent: Sent, number: str) -> None:
    batch = bulk(sent, number, "b")
    deliver(batch.message)
    assert not TaskRecord.objects.failed().exists()


def test_a_retry_is_recorded_after_the_savepoint(sent: Sent) -> None:
    batch = bulk(sent, "retries", "b")
    deliver(batch.message)
    (again,) = sent()
    assert again.headers["id"] == row_id(batch.id, 0)
    assert TaskRecord.objects.get(pk=row_id(batch.id, 0)).state != State.FAILED
    assert batch.result.counts() == Counts(2, succeeded=1)


def test_a_failure_without_a_record_is_logged(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    batch = bulk(sent, "fails", "b")
    with mock.patch("cereal_methods.records.batches.insert", side_effect=DatabaseError("full")):
        deliver(batch.message)
    assert "could not be recorded" in caplog.text
    assert batch.result.counts() == Counts(2, succeeded=1, failed=1)


def test_a_replacement_that_is_not_durable_is_sent_on_commit(sent: Sent) -> None:
    class Plain(Task):
        name = "plain"

        def run(self) -> None: ...

    plain = app.register_task(Plain())
    batch = bulk(sent, "replaces", "b")
    with acting(replaces=lambda order, task: rename(order, task) or task.replace(plain.si())):
        deliver(batch.message)
    (replacement,) = sent()
    assert (replacement.headers["task"], replacement.headers["id"]) == (
        "plain",
        row_id(batch.id, 0),
    )
    assert numbers() == ["renamed", "b"]


def test_a_transaction_that_is_lost_lets_each_row_run_alone(sent: Sent) -> None:
    """As after a deadlock on MySQL, which rolls back more than a savepoint."""
    batch = bulk(sent, "first", "second", "c")

    with acting(first=rename, second=break_savepoint):
        deliver(batch.message)
    record = TaskRecord.objects.get(pk=batch.id)
    assert (record.state, record.error) == (State.DONE, "3 of 3 rows run by themselves.")
    assert [each.headers["id"] for each in sent()] == [row_id(batch.id, n) for n in range(3)]
    assert numbers() == ["first", "second", "c"]


def break_savepoint(order: Order, task: Any) -> None:
    """Fail, and leave a savepoint that is not there any more."""
    connection.cursor().execute(f"RELEASE SAVEPOINT {connection.savepoint_ids[-1]}")
    raise ValueError("deadlock")


def test_a_commit_that_fails_lets_each_row_run_alone(sent: Sent) -> None:
    batch = bulk(sent, "a", "b")
    commit, failures = connection.commit, [IntegrityError("deferred")]

    def fail_once() -> None:
        if failures:
            raise failures.pop()
        commit()

    with mock.patch.object(connection, "commit", fail_once):
        deliver(batch.message)
    assert [each.headers["id"] for each in sent()] == [row_id(batch.id, n) for n in range(2)]


def test_a_batch_whose_process_has_died_twice_is_divided(sent: Sent) -> None:
    batch = bulk(sent, "a", "b")
    deliver(batch.message, cereal_crashes=2)
    messages = sent()
    assert [each.headers["id"] for each in messages] == [row_id(batch.id, 0), row_id(batch.id, 1)]
    for each in messages:
        deliver(each)
    assert batch.result.counts() == Counts(2, succeeded=2)


def test_a_batch_whose_process_has_died_once_runs_again(sent: Sent) -> None:
    batch = bulk(sent, "a", "b")
    deliver(batch.message, redelivered=True)
    assert sent() == []
    assert batch.result.counts() == Counts(2, succeeded=2)


def test_rows_without_a_transaction_that_have_ended_do_not_run_again(sent: Sent) -> None:
    batch = bulk(sent, "a", "b", atomic=False)
    book = journal.Journal(batch.id)
    book.open()
    book.end('="before"', at_once=True)
    book.start(1)
    book.close()
    deliver(batch.message, redelivered=True)
    assert batch.result.get() == ["before", "b"]


def test_a_row_without_a_transaction_that_fails_has_a_record(sent: Sent) -> None:
    batch = bulk(sent, "first", "b", atomic=False)
    with acting(first=rename_and_fail):
        deliver(batch.message)
    assert numbers() == ["renamed", "b"]
    assert TaskRecord.objects.get(pk=row_id(batch.id, 0)).state == State.FAILED
    assert batch.result.counts() == Counts(2, succeeded=1, failed=1)


def test_a_database_that_becomes_unavailable_later_lets_the_batch_wait(sent: Sent) -> None:
    batch = bulk(sent, "first", "b")
    take = "cereal_methods.running.batches.window.Window.take"
    with acting(first=rename), mock.patch(take, side_effect=[{}, OperationalError("away")]):
        deliver(batch.message)
    record = TaskRecord.objects.get()
    assert (record.pk, record.state, record.turn) == (batch.id, State.WAITING, 1)
    assert numbers() == ["first", "b"]


# Hooks and receivers of signals, whose errors must not fail other rows.


def broken_query(*args: Any, **kwargs: Any) -> None:
    """Fail in a query, and leave a change that goes with it."""
    Order.objects.update(number="by a hook")
    Order.objects.create(pk=Order.objects.first().pk)


@pytest.mark.parametrize("name", ["on_success", "after_return"])
def test_a_hook_that_fails_is_rolled_back(sent: Sent, name: str) -> None:
    base = type("Base", (Task,), {name: broken_query})
    batch = bulk(sent, "a", "b", base=base)
    deliver(batch.message)
    assert numbers() == ["a", "b"]
    assert batch.result.counts() == Counts(2, succeeded=2)


def test_a_hook_before_the_method_fails_its_row(sent: Sent) -> None:
    base = type("Base", (Task,), {"before_start": broken_query})
    batch = bulk(sent, "a", "b", base=base)
    deliver(batch.message)
    assert numbers() == ["a", "b"]
    assert batch.result.counts() == Counts(2, failed=2)


@pytest.mark.parametrize("name", ["task_prerun", "task_postrun", "task_success", "task_failure"])
def test_a_receiver_that_fails_is_rolled_back(sent: Sent, name: str) -> None:
    batch = bulk(sent, "fails", "b")
    signal = getattr(signals, name)
    sender = app.tasks[batch.message.headers["task"]]

    def receive(sender: Any = None, task_id: str = "", **kwargs: Any) -> None:
        if connection.in_atomic_block:
            broken_query()

    signal.connect(receive, sender=sender)
    try:
        deliver(batch.message)
    finally:
        signal.disconnect(receive, sender=sender)
    assert numbers() == ["fails", "b"]
    assert batch.result.counts() == Counts(2, succeeded=1, failed=1)


def test_an_error_that_a_receiver_hides_is_rolled_back(sent: Sent) -> None:
    """PostgreSQL refuses to release the savepoint then."""
    batch = bulk(sent, "a", "b")
    sender = app.tasks[batch.message.headers["task"]]
    release, refusals = connection.savepoint_commit, [DatabaseError("aborted")]

    def receive(**kwargs: Any) -> None:
        if connection.in_atomic_block and refusals:
            Order.objects.update(number="by a receiver")

    def refuse_once(savepoint: str) -> None:
        if refusals:
            raise refusals.pop()
        release(savepoint)

    signals.task_prerun.connect(receive, sender=sender)
    try:
        with mock.patch.object(connection, "savepoint_commit", refuse_once):
            deliver(batch.message)
    finally:
        signals.task_prerun.disconnect(receive, sender=sender)
    assert refusals == []
    assert numbers() == ["a", "b"]
    assert batch.result.counts() == Counts(2, succeeded=2)
