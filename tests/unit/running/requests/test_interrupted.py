"""Batches whose process has died: one row fails, and the others run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Task, signals

from cereal_methods.results.ids import progress_id, rest_id, row_id
from cereal_methods.running.batches.progress import STATE
from cereal_methods.running.requests import interrupted
from cereal_methods.running.requests.interrupted import InterruptedBatch
from tests.celery import app

from .deliveries import Counts, Delivery, deliver, info_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

Sent = Callable[[], list[Any]]
LOST = WorkerLostError("killed")


class Reporter(Task):
    """A task that records its failures, or fails to."""

    abstract = True
    reported: list[Any]

    def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
        self.reported.append((type(exc), task_id, kwargs["this"].pk))


@pytest.fixture
def failures() -> Iterator[list[Any]]:
    """Return the tasks for which the signal ``task_failure`` was sent."""
    calls: list[Any] = []

    def receive(sender: Any, task_id: str, exception: Any, **about: Any) -> None:
        assert sender.request.id == task_id
        calls.append((type(exception), task_id))

    signals.task_failure.connect(receive, weak=False)
    yield calls
    signals.task_failure.disconnect(receive)


def continue_after(
    delivery: Delivery, error: BaseException = LOST, *, is_run_again: bool = False
) -> None:
    rows = delivery.request.rows()
    assert rows is not None
    batch = InterruptedBatch(delivery.request, rows)
    batch.continue_after(info_of(error), is_run_again=is_run_again)
    batch.store()


def parts(messages: list[Any]) -> dict[str, Any]:
    """Return the rows of messages by their ids."""
    return {message.headers["id"]: message.headers["cereal_rows"] for message in messages}


def test_the_running_row_fails_and_the_rest_is_sent(
    sent: Sent, failures: list[Any], journals: Path
) -> None:
    delivery = deliver(sent, "a", "b", "c", "d")
    delivery.keep('>0\n="a"\n>1\n')

    continue_after(delivery)

    assert parts(sent()) == {rest_id(delivery.id, 2): [2, 4]}
    assert failures == [(WorkerLostError, row_id(delivery.id, 1))]
    assert delivery.result.counts() == Counts(4, succeeded=1, failed=1)
    assert delivery.result.failures() == [(delivery.rows[1].pk, "WorkerLostError: killed")]
    assert list(journals.iterdir()) == []


def test_a_row_that_may_run_again_is_sent(sent: Sent, failures: list[Any]) -> None:
    delivery = deliver(sent, "a", "b", "c")
    delivery.keep('>0\n="a"\n>1\n>1\n')

    continue_after(delivery, is_run_again=True)

    messages = sent()
    assert parts(messages) == {row_id(delivery.id, 1): [1, 2], rest_id(delivery.id, 2): [2, 3]}
    assert [message.headers["cereal_crashes"] for message in messages] == [2, 0]
    assert failures == []
    assert delivery.result.counts() == Counts(3, succeeded=1)


def test_rows_in_one_transaction_run_again(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b", "c")
    delivery.keep(">0\n>1\n>2\n")

    continue_after(delivery)

    assert parts(sent()) == {row_id(delivery.id, 0): [0, 1], row_id(delivery.id, 1): [1, 2]}
    assert delivery.result.failures() == [(delivery.rows[2].pk, "WorkerLostError: killed")]


def test_between_two_rows_no_row_fails(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep('>0\n="a"\n')

    continue_after(delivery)

    assert parts(sent()) == {rest_id(delivery.id, 1): [1, 2]}
    assert delivery.result.counts() == Counts(2, succeeded=1)


def test_after_the_last_row_nothing_is_sent(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep('>0\n="a"\n>1\n="b"\n')

    continue_after(delivery)

    assert sent() == []
    assert delivery.result.counts() == Counts(2, succeeded=2)


def test_a_start_beyond_the_last_row_is_ignored(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep('>0\n="a"\n>7\n')

    continue_after(delivery)

    assert parts(sent()) == {rest_id(delivery.id, 1): [1, 2]}


@pytest.mark.parametrize("is_called", [True, False])
def test_the_hook_of_a_time_limit_is_called_as_celery_does(sent: Sent, is_called: bool) -> None:
    Reporter.reported = []
    delivery = deliver(sent, "a", "b", base=Reporter)
    delivery.keep(">0\n")

    with mock.patch.object(interrupted, "CALLS_ON_FAILURE_AT_LIMIT", is_called):
        continue_after(delivery, TimeLimitExceeded(5))

    row = (TimeLimitExceeded, row_id(delivery.id, 0), delivery.rows[0].pk)
    assert Reporter.reported == ([row] if is_called else [])


def test_an_error_of_a_receiver_changes_nothing(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep(">0\n")

    with mock.patch.object(interrupted, "send_task_failure", side_effect=RuntimeError):
        continue_after(delivery)

    assert f"A handler of the failure of row <shop.OddOrder {delivery.rows[0].pk}> raised." in (
        caplog.messages
    )
    assert len(sent()) == 1


def test_the_progress_is_removed(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    app.backend.store_result(progress_id(delivery.id), "", STATE)

    continue_after(delivery)

    assert app.backend.get_task_meta(progress_id(delivery.id))["status"] == "PENDING"


def test_without_results_only_the_journal_is_removed(sent: Sent, journals: Path) -> None:
    delivery = deliver(sent, "a", "b", ignore_result=True)
    delivery.keep('>0\n="a"\n')

    continue_after(delivery)

    assert len(sent()) == 1
    assert app.backend.get_task_meta(delivery.id)["status"] == "PENDING"
    assert list(journals.iterdir()) == []


def test_the_other_rows_of_a_terminated_batch_are_revoked(sent: Sent, journals: Path) -> None:
    delivery = deliver(sent, "a", "b", "c")
    delivery.keep('>0\n="a"\n>1\n')
    app.backend.store_result(delivery.id, None, "REVOKED")

    InterruptedBatch(delivery.request, delivery.request.rows()).revoke("terminated")

    assert delivery.result.counts() == Counts(3, succeeded=1, revoked=2)
    assert delivery.result.failures() == [
        (row.pk, "TaskRevokedError: terminated") for row in delivery.rows[1:]
    ]
    assert list(journals.iterdir()) == []
