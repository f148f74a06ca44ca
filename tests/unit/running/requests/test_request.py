"""What the consumer does when a process dies, or a hard time limit strikes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.exceptions import Ignore, Reject, Retry
from celery.states import FAILURE, PENDING
from celery.worker import state

from cereal_methods.results.ids import rest_id, row_id
from cereal_methods.running.batches import journal
from cereal_methods.running.requests import request as module
from tests.celery import app

from ..batches.odd import odd_orders, rows_of
from .deliveries import Counts, Delivery, deliver, info_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

Sent = Callable[[], list[Any]]
LATE = {"acks_late": True, "reject_on_worker_lost": True}
LOST = [WorkerLostError("killed"), SystemExit(1), KeyboardInterrupt()]


def state_of(task_id: str) -> str:
    status: str = app.backend.get_task_meta(task_id, cache=False)["status"]
    return status


def ids(messages: list[Any]) -> list[str]:
    return [message.headers["id"] for message in messages]


# A process has died.


@pytest.mark.parametrize("error", LOST, ids=repr)
def test_a_batch_continues_after_its_process_has_died(sent: Sent, error: BaseException) -> None:
    delivery = deliver(sent, "a", "b", "c")
    delivery.keep('>0\n="a"\n>1\n')

    delivery.request.on_failure(info_of(error))

    assert delivery.is_acknowledged
    assert ids(sent()) == [rest_id(delivery.id, 2)]
    assert delivery.result.counts() == Counts(3, succeeded=1, failed=1)
    ((key, text),) = delivery.result.failures()
    assert key == delivery.rows[1].pk
    assert text.startswith("WorkerLostError: ")


def test_a_row_is_recorded_when_its_process_has_died(sent: Sent) -> None:
    delivery = deliver(sent, "a", batch_size=1)

    delivery.request.on_failure(info_of(WorkerLostError("killed")))

    assert state_of(delivery.id) == FAILURE
    assert delivery.result.failures() == [(delivery.rows[0].pk, "WorkerLostError: killed")]
    assert sent() == []


def test_a_message_without_a_row_is_failed_by_celery(sent: Sent) -> None:
    delivery = deliver(sent, "a", batch_size=1)
    delivery.request.request_dict["kwargs"] = {}

    delivery.request.on_failure(info_of(WorkerLostError("killed")))

    assert state_of(delivery.id) == FAILURE
    assert delivery.result.failures() == [(None, "WorkerLostError: killed")]


def test_a_late_row_is_sent_again_when_its_process_has_died(sent: Sent) -> None:
    delivery = deliver(sent, "a", batch_size=1, **LATE)

    delivery.request.on_failure(info_of(WorkerLostError("killed")))

    (message,) = sent()
    assert message.headers["id"] == delivery.id
    assert message.headers["cereal_crashes"] == 1
    assert delivery.is_acknowledged
    assert state_of(delivery.id) == PENDING


def test_a_late_row_of_a_batch_is_sent_again(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b", **LATE)
    delivery.keep(">0\n")

    delivery.request.on_failure(info_of(WorkerLostError("killed")))

    assert ids(sent()) == [row_id(delivery.id, 0), rest_id(delivery.id, 1)]


@pytest.mark.parametrize("reason", ["too often", "the broker is unavailable"])
def test_a_late_row_that_cannot_run_again_has_failed(sent: Sent, reason: str) -> None:
    crashes = 4 if reason == "too often" else 0
    delivery = deliver(sent, "a", batch_size=1, headers={"cereal_crashes": crashes}, **LATE)
    failed: list[str] = []

    def receive(task_id: str, **about: Any) -> None:
        failed.append(task_id)

    signals.task_failure.connect(receive, weak=False)
    error = None if reason == "too often" else ConnectionError("unavailable")
    with mock.patch.object(module, "send_again", side_effect=error):
        delivery.request.on_failure(info_of(WorkerLostError("killed")))
    signals.task_failure.disconnect(receive)

    assert sent() == []
    assert delivery.is_acknowledged
    assert failed == [delivery.id]
    assert state_of(delivery.id) == FAILURE
    assert delivery.result.failures() == [(delivery.rows[0].pk, "WorkerLostError: killed")]


@pytest.mark.parametrize("crashes", ["5", True, None, [5]])
def test_a_header_that_is_not_a_number_counts_no_crashes(sent: Sent, crashes: Any) -> None:
    delivery = deliver(sent, "a", batch_size=1, headers={"cereal_crashes": crashes}, **LATE)

    assert delivery.request.crashes == 0


@pytest.mark.parametrize("flag", ["_already_revoked", "_already_cancelled", "should_terminate"])
def test_a_revoked_or_cancelled_batch_is_left_to_celery(
    sent: Sent, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = deliver(sent, "a", "b")
    monkeypatch.setattr(state if flag == "should_terminate" else delivery.request, flag, True)

    delivery.request.on_failure(info_of(WorkerLostError("killed")))

    assert sent() == []


def test_a_batch_is_continued_once(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")

    for _ in range(2):
        delivery.request.on_failure(info_of(WorkerLostError("killed")))
        delivery.request.on_timeout(False, 5)

    assert ids(sent()) == [rest_id(delivery.id, 0)]


def test_a_batch_that_cannot_be_continued_fails(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep('>0\n="a"\n>1\n')

    with mock.patch.object(module, "InterruptedBatch", side_effect=ConnectionError("unavailable")):
        delivery.request.on_failure(info_of(WorkerLostError("killed")))

    name = delivery.task.name
    assert f"Batch {name}[{delivery.id}] could not be continued." in caplog.messages
    assert state_of(delivery.id) == FAILURE
    assert delivery.result.counts() == Counts(2, failed=2)


# A hard time limit has struck.


@pytest.mark.parametrize("caller", ["on_timeout", "on_failure"])
def test_a_batch_continues_after_a_hard_time_limit(sent: Sent, caller: str) -> None:
    delivery = deliver(sent, "a", "b", **LATE)
    delivery.keep(">0\n")

    if caller == "on_timeout":
        delivery.request.on_timeout(False, 5)
    else:
        delivery.request.on_failure(info_of(TimeLimitExceeded(5)))

    assert ids(sent()) == [rest_id(delivery.id, 1)]
    assert delivery.is_acknowledged
    ((key, text),) = delivery.result.failures()
    assert key == delivery.rows[0].pk
    assert text.startswith("TimeLimitExceeded: ")


#: The states after a time limit. Celery 5.5 stores a failure as its worker terminates, too.
STATES = {"soft": {PENDING}, "one row": {FAILURE}, "terminating": {PENDING, FAILURE}}


@pytest.mark.parametrize("kind", STATES)
def test_celery_handles_other_time_limits(
    sent: Sent, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = deliver(sent, "a", "b", batch_size=1 if kind == "one row" else 9)
    if kind == "terminating":
        monkeypatch.setattr(state, "should_terminate", True)

    delivery.request.on_timeout(kind == "soft", 5)

    assert sent() == []
    assert state_of(delivery.id) in STATES[kind]


def test_a_row_is_recorded_after_a_hard_time_limit(sent: Sent) -> None:
    delivery = deliver(sent, "a", batch_size=1)

    delivery.request.on_failure(info_of(TimeLimitExceeded(5)))

    ((key, text),) = delivery.result.failures()
    assert key == delivery.rows[0].pk
    assert text.startswith("TimeLimitExceeded: ")


# The task has raised.


def test_the_journal_of_a_failed_batch_is_removed(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep('>0\n="a"\n')

    delivery.request.on_failure(info_of(ValueError("no")), return_ok=True)

    assert journal.read(delivery.id).lines == []


@pytest.mark.parametrize("is_stored_by_celery", [True, False])
def test_a_rejected_row_has_failed(
    sent: Sent, is_stored_by_celery: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_stored_by_celery and not module.STORES_REJECTED:
        pytest.skip("This version of Celery does not store it.")
    monkeypatch.setattr(module, "STORES_REJECTED", is_stored_by_celery)
    delivery = deliver(sent, "a", batch_size=1)

    delivery.request.on_failure(info_of(Reject("no", requeue=False)))

    assert delivery.on_reject.called
    assert state_of(delivery.id) == FAILURE
    ((key, text),) = delivery.result.failures()
    assert key == delivery.rows[0].pk
    assert text.startswith("Reject: ")


@pytest.mark.parametrize("error", [Reject("no", requeue=True), Ignore(), Retry()], ids=repr)
def test_celery_handles_what_a_task_raises_for_its_worker(sent: Sent, error: Exception) -> None:
    delivery = deliver(sent, "a", batch_size=1)

    delivery.request.on_failure(info_of(error))

    assert delivery.result.counts() == Counts(1)
    assert sent() == []


def test_an_error_while_a_failure_is_stored_is_logged(
    sent: Sent, caplog: pytest.LogCaptureFixture, unavailable: Callable[[], None]
) -> None:
    delivery = deliver(sent, "a", batch_size=1, headers={"cereal_crashes": 4}, **LATE)
    unavailable()

    delivery.request.on_failure(info_of(WorkerLostError("killed")))

    assert f"The failure of {delivery.id} could not be stored." in caplog.messages
    assert delivery.is_acknowledged


# Celery could not store a state.


def test_a_batch_that_the_pool_has_recorded_has_ended(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep('>0\n="a"\n.\n')

    delivery.request.on_failure(info_of(ConnectionError("unavailable")))

    assert delivery.is_acknowledged
    assert sent() == []
    assert not journal.read(delivery.id).is_recorded


def test_a_batch_whose_outcome_was_not_stored_continues(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")
    delivery.keep('>0\n="a"\n')

    delivery.request.on_failure(info_of(ConnectionError("unavailable")))

    assert delivery.is_acknowledged
    assert ids(sent()) == [rest_id(delivery.id, 1)]


def test_a_batch_that_has_not_started_is_sent_for_later(sent: Sent) -> None:
    delivery = deliver(sent, "a", "b")

    delivery.request.on_failure(info_of(ConnectionError("unavailable")))

    (message,) = sent()
    assert message.headers["id"] == delivery.id
    assert message.headers["eta"] is not None
    assert delivery.is_acknowledged


def test_a_row_whose_state_was_not_stored_is_stored_later(
    sent: Sent, unavailable: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = deliver(sent, "a", batch_size=1)
    stores: list[Any] = []
    monkeypatch.setattr(module, "store_or_retry", lambda store, task, task_id: stores.append(store))

    delivery.request.on_failure(info_of(ConnectionError("unavailable")))
    assert delivery.is_acknowledged
    (store,) = stores
    store(app.backend)

    assert state_of(delivery.id) == FAILURE
    assert delivery.result.failures() == [(delivery.rows[0].pk, "ConnectionError: unavailable")]


@pytest.mark.parametrize("kind", ["not a bulk's", "without a row"])
def test_celery_handles_other_messages_whose_state_was_not_stored(sent: Sent, kind: str) -> None:
    model = odd_orders()
    rows = rows_of(model, "a")
    rows[0].act.delay()
    messages = sent()
    delivery = Delivery(messages, model, rows, None)
    if kind == "without a row":
        delivery.request.request_dict["kwargs"] = {}

    delivery.request.on_failure(info_of(ConnectionError("unavailable")))

    assert state_of(delivery.id) == FAILURE
