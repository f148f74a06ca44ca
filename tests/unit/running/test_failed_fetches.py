"""How a task ends if its rows could not be fetched."""

from __future__ import annotations

import logging
from typing import Any
from unittest import mock

import pytest
from celery.app.task import Context
from celery.exceptions import Ignore, Retry
from django.db import OperationalError

from cereal_methods.results.endings import Discarded
from cereal_methods.rows.fetch import missing_error
from cereal_methods.rows.reference import ModelReference
from cereal_methods.running import fetch_retries
from cereal_methods.running.failures import (
    fetch_or_retry,
    handle_failed_fetch,
    retry_when_unavailable,
)
from cereal_methods.running.fetch_retries import RETRIES, reset_fetch_retries, row_of_error
from cereal_methods.running.locking import rows_locked
from cereal_methods.running.policy import RowPolicy
from cereal_methods.running.state import STATE, RunState
from tests.celery import app
from tests.shop.models import Order

REFERENCE = ModelReference("shop.Order", 5, "default")
ACTIONS = ("raise", "discard", "retry")


@pytest.fixture
def task() -> Any:
    task = mock.Mock(acks_late=False, serializer="cereal-json", app=app)
    task.name = "ship"
    return task


def request(**values: Any) -> Context:
    """Return the request of a message."""
    return Context({"id": "the-id", "called_directly": False, "kwargs": {}, **values})


def handle(task: Any, error: Exception, policy: RowPolicy, **values: Any) -> Any:
    """Handle a failed fetch; the task's ``recorded`` are the errors that are recorded."""
    task.recorded = []
    sent = mock.Mock(return_value=([], {}, None))
    task.request = request(**values)
    return handle_failed_fetch(task, task.request, policy, error, sent, task.recorded.append)


def missing() -> Any:
    return missing_error([REFERENCE])


@pytest.mark.parametrize(
    ("on_missing", "ending"),
    [("raise", Order.DoesNotExist), ("discard", Discarded), ("retry", Retry)],
)
def test_on_missing_decides_how_a_missing_row_ends_a_task(
    task: Any, on_missing: str, ending: Any
) -> None:
    error = missing()

    with pytest.raises(ending):
        handle(task, error, RowPolicy(on_missing))

    assert task.recorded == ([error] if ending is Discarded else [])


@pytest.mark.parametrize("on_missing", ACTIONS)
def test_a_task_that_is_called_directly_raises_the_error(task: Any, on_missing: str) -> None:
    with pytest.raises(Order.DoesNotExist):
        handle(task, missing(), RowPolicy(on_missing), called_directly=True)
    with pytest.raises(Order.DoesNotExist):
        handle_failed_fetch(None, None, RowPolicy(on_missing), missing(), mock.Mock())


def test_a_function_for_missing_rows_returns_the_result(task: Any) -> None:
    assert handle(task, missing(), RowPolicy(lambda error: "gone")) == "gone"


def ignore(error: Exception) -> None:
    raise Ignore


def test_a_function_for_missing_rows_may_discard_the_task(task: Any) -> None:
    with pytest.raises(Discarded):
        handle(task, missing(), RowPolicy(ignore))
    with pytest.raises(Ignore) as caught:
        handle(task, missing(), RowPolicy(ignore), called_directly=True)

    assert not isinstance(caught.value, Discarded)


@pytest.mark.parametrize(
    ("lock", "ending"), [({"skip_locked": True}, Discarded), ({"nowait": True}, Retry), ({}, Retry)]
)
def test_the_lock_decides_how_a_locked_row_ends_a_task(task: Any, lock: Any, ending: Any) -> None:
    error = rows_locked("shop.Order", [5], "default")

    with pytest.raises(ending):
        handle(task, error, RowPolicy(select_for_update=lock))


def test_another_error_is_raised(task: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        handle(task, ZeroDivisionError(), RowPolicy("retry"))


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({}, ["store_result"]),
        ({"chord": {"task": "body"}}, ["mark_as_done"]),
        ({"ignore_result": True}, []),
        ({STATE: RunState(window_rows={})}, []),
        ({"is_eager": True}, []),
    ],
    ids=["alone", "chord", "ignored", "row of a batch", "eager"],
)
def test_a_discarded_task_has_a_state_if_results_are_kept(
    task: Any, values: dict[str, Any], stored: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Discarded), caplog.at_level(logging.WARNING):
        handle(task, missing(), RowPolicy("discard"), **values)

    assert [name for name, _, _ in task.backend.mock_calls] == stored
    (record,) = caplog.records
    assert record.getMessage() == (
        "Task ship[the-id] is discarded: shop.Order 5 in database 'default' does not exist: "
        "deleted after the task was sent, or not committed yet when the task ran."
    )
    assert vars(record)["pk"] == 5


def test_an_eager_task_is_not_retried(task: Any) -> None:
    with pytest.raises(Order.DoesNotExist):
        handle(task, missing(), RowPolicy("retry"), is_eager=True)


@pytest.mark.parametrize(("has_quorum_queues", "least"), [(False, 0.0), (True, 1.0)])
def test_the_delays_of_fetch_retries_grow(
    task: Any, settings: Any, has_quorum_queues: bool, least: float
) -> None:
    settings.CEREAL_METHODS = {"FETCH_RETRY_BACKOFF": 0.5, "FETCH_RETRY_BACKOFF_MAX": 3}
    countdowns = []
    with mock.patch.object(fetch_retries, "uses_quorum_queues", return_value=has_quorum_queues):
        for retries in range(5):
            with pytest.raises(Retry):
                handle(task, missing(), RowPolicy("retry"), headers={RETRIES: retries})
            countdowns.append(task.signature_from_request.call_args.kwargs["countdown"])

    for countdown, seconds in zip(countdowns, [0.5, 1, 2, 3, 3], strict=True):
        assert max(seconds, least) <= countdown <= max(seconds * 1.25, least)


def test_a_retry_keeps_the_texts_and_the_headers_of_a_message(task: Any) -> None:
    with pytest.raises(Retry):
        handle(task, missing(), RowPolicy("retry"), argsrepr="(hidden)", headers={"x": 1})

    options = task.signature_from_request.call_args.kwargs
    assert (options["argsrepr"], options["headers"]) == ("(hidden)", {"x": 1, RETRIES: 1})
    assert not {"kwargsrepr", "serializer"} & options.keys()


@pytest.mark.parametrize("headers", [None, {}, {RETRIES: 3, "x": 1}])
def test_fetched_rows_reset_the_count(headers: Any) -> None:
    sent_request = request(headers=headers)

    reset_fetch_retries(sent_request)

    assert RETRIES not in (sent_request.headers or {})
    reset_fetch_retries(None)


@pytest.mark.django_db
def test_rows_are_fetched_for_a_task_without_a_policy() -> None:
    order = Order.objects.create()
    running = mock.Mock(request=request(headers={RETRIES: 3}))

    assert fetch_or_retry(running, [ModelReference.of(order)], mock.Mock()) == [order]
    assert running.request.headers == {}
    assert fetch_or_retry(None, [ModelReference.of(order)], mock.Mock()) == [order]
    with pytest.raises(Order.DoesNotExist):
        fetch_or_retry(None, [ModelReference("shop.Order", order.pk + 1, "default")], mock.Mock())


def test_a_task_whose_database_is_unavailable_in_a_block_is_retried(task: Any) -> None:
    task.request = request()

    with pytest.raises(Retry), retry_when_unavailable(task, lambda: ([], {}, "cereal-json")):
        raise OperationalError("connection refused")
    assert task.signature_from_request.call_args.kwargs["serializer"] == "cereal-json"


@pytest.mark.parametrize(
    ("error", "row"),
    [
        (missing(), REFERENCE),
        (rows_locked("shop.Order", [5, 6], "default"), REFERENCE),
        (ValueError(), None),
    ],
    ids=repr,
)
def test_an_error_names_its_row(error: Exception, row: Any) -> None:
    assert row_of_error(error) == row
