"""Failure records: which messages have one, and what is in it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry
from celery.states import IGNORED, PENDING, STARTED

from cereal_methods.results.endings import Discarded, Replaced
from cereal_methods.results.failure_record import (
    FailureRecord,
    failure_record_from,
    has_failure_records,
    record_failure,
    store_failure_record,
)
from cereal_methods.results.ids import failure_record_id
from cereal_methods.results.outcome import Outcome
from cereal_methods.rows.fetch import missing_error
from cereal_methods.rows.reference import ModelReference, QuerySetReference
from tests.celery import app
from tests.shop.models import Order

from .bulks import store

ORDER = ModelReference("shop.Order", 7, "default")
ORDERS = QuerySetReference("shop.Order", (7, 8), "default")


def request_of(**attributes: Any) -> Any:
    """Return the request of a bulk's message."""
    return Context({"id": str(uuid.uuid4()), "stamped_headers": ["cereal_bulk"], **attributes})


def meta_of(task_id: str) -> Any:
    return app.backend.get_task_meta(task_id, cache=False)


def recorded(request: Any) -> Any:
    return failure_record_from(meta_of(failure_record_id(request.id)))


@pytest.mark.parametrize(
    ("rows", "error", "record"),
    [
        (ORDER, ValueError("no"), FailureRecord("failed", [7], "ValueError: no")),
        (ORDERS, ValueError("no"), FailureRecord("failed", [7, 8], "ValueError: no")),
        (ORDER, Reject("no"), FailureRecord("failed", [7], "Reject: ('no', False)")),
        (ORDER, Ignore("no"), FailureRecord("ignored", [7], "Ignore: no")),
        (ORDER, Discarded(ValueError("no")), FailureRecord("ignored", [7], "ValueError: no")),
    ],
)
def test_an_error_is_recorded_with_its_rows(rows: Any, error: Exception, record: Any) -> None:
    request = request_of()

    record_failure(Order.trace.task, request, rows, error)

    assert recorded(request) == record


@pytest.mark.parametrize("discards", [True, False])
def test_a_missing_row_is_recorded_as_such(discards: bool) -> None:
    request = request_of()
    error: Any = missing_error([ORDER], None)

    record_failure(Order.trace.task, request, ORDER, Discarded(error) if discards else error)

    record = recorded(request)
    assert (record.kind, record.keys) == ("missing", [7])


def test_another_missing_row_is_a_failure() -> None:
    request = request_of()
    other = ModelReference("shop.Order", 8, "default")

    record_failure(Order.trace.task, request, ORDER, missing_error([other], None))

    assert recorded(request).kind == "failed"


@pytest.mark.parametrize("error", [Retry(), Reject("no", requeue=True), Replaced()], ids=repr)
def test_rows_that_will_run_again_are_not_recorded(error: Exception) -> None:
    request = request_of()

    record_failure(Order.trace.task, request, ORDER, error)

    assert recorded(request) is None


@pytest.mark.parametrize("before", [PENDING, STARTED, "SKIPPED"])
def test_an_ignored_task_has_the_state_ignored_unless_it_has_another(before: str) -> None:
    request = request_of()
    if before != PENDING:
        store(request.id, None, before)

    record_failure(Order.trace.task, request, ORDER, Ignore())

    assert meta_of(request.id)["status"] == ("SKIPPED" if before == "SKIPPED" else IGNORED)


@pytest.mark.parametrize(
    "attributes", [{"stamped_headers": None}, {"is_eager": True}, {"ignore_result": True}]
)
def test_other_messages_have_no_failure_record(attributes: dict[str, Any]) -> None:
    request = request_of(**attributes)

    assert not has_failure_records(Order.trace.task, request)
    record_failure(Order.trace.task, request, ORDER, ValueError("no"))
    assert recorded(request) is None


def test_a_task_that_ignores_results_has_no_failure_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Order.trace.task, "ignore_result", True)

    assert not has_failure_records(Order.trace.task, request_of())


def test_an_unavailable_backend_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise ConnectionError("unavailable")

    monkeypatch.setattr(app.backend, "store_result", refuse)
    request = request_of()

    record_failure(Order.trace.task, request, ORDER, ValueError("no"))

    assert caplog.messages == [f"The failure record of {request.id} could not be stored."]


def test_an_outcome_may_be_a_failure_record() -> None:
    task_id = str(uuid.uuid4())

    store_failure_record(app.backend, task_id, Outcome(1, [5]))

    assert failure_record_from(meta_of(failure_record_id(task_id))) == Outcome(1, [5])


@pytest.mark.parametrize("meta", [None, {"status": PENDING, "result": None}])
def test_without_a_record_nothing_is_known(meta: Any) -> None:
    assert failure_record_from(meta) is None


def test_a_failure_record_has_a_stable_form() -> None:
    assert FailureRecord("failed", [7], "no").as_result() == ["failed", [7], "no"]
