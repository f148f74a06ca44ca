"""Batches: each row ends as a separate task would, and the batch has one outcome for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_prerun
from celery.states import FAILURE
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from cereal_methods.results.counts import Counts
from cereal_methods.results.ids import progress_id, rest_id, row_id
from cereal_methods.results.outcome import Outcome, outcome_from
from cereal_methods.running.batches import batch, journal
from cereal_methods.running.batches.folder import path_of
from cereal_methods.running.batches.progress import STATE
from cereal_methods.running.batches.window import Window
from cereal_methods.running.policy import RowPolicy
from tests.celery import app
from tests.shop.models import Customer, Order

from .odd import deliver, odd_orders, rows_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

Sent = Callable[[], list[Any]]


def send(sent: Sent, model: Any, rows: list[Any], *args: Any, **options: Any) -> Any:
    """Return the message of a batch, and the bulk's result."""
    result = model.act.bulk_apply_async(rows, args, batch_size=1000, **options)
    (message,) = sent()
    return message, result


def keep(batch_id: str, text: str) -> None:
    """Write the journal that a process has left."""
    path = path_of(batch_id)
    assert path is not None
    path.write_text(text)


def test_each_row_ends_independently(sent: Sent) -> None:
    model = odd_orders()
    rows = rows_of(model, "a", "fails", "ignored", "retries", "b", "gone")
    message, result = send(sent, model, rows)
    Order.objects.get(number="gone").delete()

    deliver(message)

    (again,) = sent()
    assert again.headers["id"] == row_id(message.headers["id"], 3)
    assert again.headers["retries"] == 1
    assert result.counts() == Counts(6, succeeded=2, failed=1, missing=1, ignored=1)
    (failed, why), (missing, _) = result.failures()
    assert (failed, why) == (rows[1].pk, "ValueError: it fails")
    assert missing == rows[5].pk


def test_a_failure_is_stored_under_the_row_s_id_too(sent: Sent) -> None:
    model = odd_orders()
    message, _ = send(sent, model, rows_of(model, "a", "fails"))

    deliver(message)

    meta = app.backend.get_task_meta(row_id(message.headers["id"], 1))
    assert (meta["status"], str(meta["result"])) == (FAILURE, "it fails")


def test_a_backend_that_refuses_failures_is_not_asked_for_all(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, *["fails"] * 5))

    store, refused = app.backend.store_result, []

    def refuse_failures(task_id: str, value: Any, state: str, **options: Any) -> None:
        if state == FAILURE:
            refused.append(task_id)
            raise OSError("full")
        store(task_id, value, state, **options)

    with mock.patch.object(app.backend, "store_result", refuse_failures):
        deliver(message)

    assert refused == [row_id(message.headers["id"], position) for position in range(3)]
    assert f"The failure of {refused[0]} could not be stored: full" in caplog.text
    assert result.counts() == Counts(5, failed=5)


def test_a_batch_without_results_runs_its_rows(sent: Sent, journals: Path) -> None:
    model = odd_orders()
    message, _ = send(sent, model, rows_of(model, "a", "fails", "itself"), ignore_result=True)

    returned = deliver(message, redelivered=True)

    outcome = outcome_from(returned.retval)
    assert outcome is not None
    assert outcome.results == [None] * 3
    assert [position for position, _, _ in outcome.failed] == [1]
    assert list(journals.iterdir()) == []


def test_arguments_are_those_that_were_sent_for_each_row(sent: Sent) -> None:
    rows = Order.objects.bulk_create(Order(number=str(number)) for number in range(2))
    customer = Customer.objects.create(name="Ada")
    result = Order.itself.bulk_apply_async(rows, ["x", customer, rows], {"k": 1}, batch_size=9)
    (message,) = sent()

    deliver(message)

    assert result.get(timeout=1) == [[row, "x", customer, rows, {"k": 1}] for row in rows]


def test_the_texts_of_a_row_name_the_row(sent: Sent) -> None:
    model = odd_orders()
    rows = rows_of(model, "fails", "a")
    message, _ = send(sent, model, rows, "x")
    seen: list[Any] = []

    def look(*args: Any) -> None:
        seen.append(model.act.task.request.argsrepr)

    with mock.patch.object(model.act.task, "on_failure", look):
        deliver(message)

    assert seen == [f"(<shop.OddOrder {rows[0].pk}>, 'x')"]


# After another process.


def test_a_batch_continues_where_its_journal_ends(sent: Sent) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "fails", "fails", "a"))
    keep(message.headers["id"], '>0\n="first"\n>1\n~\n>2\n')

    deliver(message)

    assert result.counts() == Counts(3, succeeded=2)


def test_a_redelivered_batch_with_an_outcome_is_not_run_again(sent: Sent, journals: Path) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "fails", "fails"))
    outcome = Outcome(2, ["a", "b"])
    app.backend.store_result(message.headers["id"], outcome.as_result(), "SUCCESS")

    returned = deliver(message, redelivered=True)

    assert returned.retval == outcome.as_result()
    assert result.counts() == Counts(2, succeeded=2)
    assert list(journals.iterdir()) == []


@pytest.mark.parametrize(
    ("here", "elsewhere", "succeeded"),
    [('>0\n="here"\n', '="a"\n="b"\n', 3), ('>0\n="here"\n>1\n="here"\n', '="a"\n', 3)],
)
def test_a_redelivered_batch_continues_from_the_longer_progress(
    sent: Sent, here: str, elsewhere: str, succeeded: int
) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "fails", "fails", "c"))
    keep(message.headers["id"], here)
    app.backend.store_result(progress_id(message.headers["id"]), elsewhere, STATE)

    deliver(message, redelivered=True)

    assert result.counts() == Counts(3, succeeded=succeeded)


@pytest.mark.parametrize("header", [0, 1])
def test_a_row_that_kills_its_process_fails(sent: Sent, header: int) -> None:
    model = odd_orders()
    rows = rows_of(model, "a", "b")
    message, result = send(sent, model, rows)
    keep(message.headers["id"], ">0\n" * (5 - header))

    deliver(message, cereal_crashes=header)

    assert result.counts() == Counts(2, succeeded=1, failed=1)
    assert result.failures() == [
        (rows[0].pk, "WorkerLostError: The process has died 5 times while the method ran.")
    ]


def test_a_row_may_kill_its_process_a_few_times(sent: Sent) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "a", "b"))
    keep(message.headers["id"], ">0\n" * 4)

    deliver(message)

    assert result.counts() == Counts(2, succeeded=2)


def test_an_exit_leaves_the_journal_for_another_process(sent: Sent) -> None:
    model = odd_orders()
    message, _ = send(sent, model, rows_of(model, "a", "exits", "b"))

    with pytest.raises(SystemExit):
        deliver(message)

    events = journal.read(message.headers["id"])
    assert (events.lines, events.started) == (['="a"'], 1)


# The rest.


def test_after_a_time_limit_the_rest_is_sent(sent: Sent) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "a", "limited", "c", "d"))

    deliver(message)

    assert result.counts() == Counts(4, succeeded=1, failed=1)
    (rest,) = sent()
    assert rest.headers["id"] == rest_id(message.headers["id"], 2)
    deliver(rest)
    assert result.counts() == Counts(4, succeeded=3, failed=1)


def test_a_time_limit_between_two_rows_fails_no_row(sent: Sent) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "a", "b"))

    with mock.patch.object(Window, "take", side_effect=[{}, SoftTimeLimitExceeded]):
        deliver(message)
    (rest,) = sent()
    deliver(rest)

    assert result.counts() == Counts(2, succeeded=2)


def test_a_batch_that_has_used_its_time_continues_in_another_message(sent: Sent) -> None:
    model = odd_orders(time_limit=0.000001)
    message, result = send(sent, model, rows_of(model, "a", "b"))

    deliver(message)

    assert result.counts() == Counts(2, succeeded=1)
    assert len(sent()) == 1


def test_if_the_database_becomes_unavailable_the_rest_is_sent_for_later(sent: Sent) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "a", "b"))

    with mock.patch.object(Window, "take", side_effect=[{}, OperationalError("gone")]):
        deliver(message)

    assert result.counts() == Counts(2, succeeded=1)
    (rest,) = sent()
    assert rest.headers["id"] == rest_id(message.headers["id"], 1)
    assert rest.headers["eta"] is not None


def test_if_the_database_is_unavailable_the_message_is_retried(sent: Sent, journals: Path) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "a", "b"))

    with mock.patch.object(Window, "take", side_effect=OperationalError("gone")):
        deliver(message)

    (again,) = sent()
    assert again.headers["id"] == message.headers["id"]
    assert again.headers["cereal_fetch_tries"] == 1
    assert result.counts() == Counts(2)
    assert list(journals.iterdir()) == []


# Rows that are fetched ahead, and locks.


def test_rows_are_fetched_together(sent: Sent) -> None:
    model = odd_orders()
    message, _ = send(sent, model, rows_of(model, *"abcdef"))

    with CaptureQueriesContext(connection) as queries:
        deliver(message)

    assert len(queries) == 1


def test_a_row_sees_what_the_row_before_it_has_done(sent: Sent) -> None:
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "deletes", "b", "c"))

    deliver(message)

    assert result.counts() == Counts(3, succeeded=1, missing=2)


@pytest.fixture
def locking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks lock rows of SQLite, which has one writer at a time anyway."""
    monkeypatch.setattr(RowPolicy, "check_dispatch", lambda *args: None)


@pytest.mark.usefixtures("locking")
def test_rows_that_are_locked_one_by_one_are_not_fetched_ahead(sent: Sent) -> None:
    model = odd_orders(select_for_update=True)
    message, result = send(sent, model, rows_of(model, "a", "b"))

    with mock.patch.object(Window, "take") as take:
        deliver(message)

    take.assert_not_called()
    assert result.counts() == Counts(2, succeeded=2)


@pytest.mark.usefixtures("locking")
def test_rows_that_are_locked_together_end_together(sent: Sent) -> None:
    model = odd_orders(select_for_update={"batch": True}, time_limit=0.000001)
    rows = rows_of(model, "a", "b", "c")
    message, result = send(sent, model, rows)
    in_transaction: list[bool] = []
    written: list[str] = []

    def look(task_id: str, **arguments: Any) -> None:
        if task_id != message.headers["id"]:
            in_transaction.append(connection.in_atomic_block)
            written.extend(journal.read(message.headers["id"]).lines)

    task_prerun.connect(look, weak=False, sender=model.act.task)
    deliver(message)

    assert in_transaction == [True] * 3
    assert written == []
    assert result.counts() == Counts(3, succeeded=3)


@pytest.mark.usefixtures("locking")
def test_a_held_lock_is_retried(sent: Sent) -> None:
    model = odd_orders(select_for_update={"batch": True})
    message, result = send(sent, model, rows_of(model, "a", "b"))

    with mock.patch.object(Window, "lock", side_effect=OperationalError("gone")):
        deliver(message)

    (again,) = sent()
    assert again.headers["cereal_fetch_tries"] == 1
    assert result.counts() == Counts(2)


# Waiting for the result backend.


@pytest.mark.parametrize("error", [None, SoftTimeLimitExceeded()])
def test_a_long_batch_waits_for_the_result_backend(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    monkeypatch.setattr(batch, "_QUICK", 0.0)
    model = odd_orders()
    message, result = send(sent, model, rows_of(model, "a", "b"))

    with mock.patch.object(batch, "wait_for_backend", side_effect=error) as waits:
        deliver(message)

    waits.assert_called_once_with(app.backend, message.headers["id"])
    assert result.counts() == Counts(2, succeeded=2)
