"""What the methods of a bulk's rows have returned or raised."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import TaskRevokedError
from celery.states import FAILURE, IGNORED, REVOKED, SUCCESS

from cereal_methods.exceptions import ResultsExpired
from cereal_methods.results.ids import failure_record_id, message_id, rest_id, row_id
from cereal_methods.results.outcome import Outcome
from tests.celery import app

from .bulks import result_of, store

ERROR = {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}


def test_values_are_in_the_order_of_the_rows() -> None:
    result = result_of(batch_size=2, full=1, tail=[1])
    store(message_id(result.id, 0), Outcome(2, ["a", "b"]).as_result())
    store(message_id(result.id, 1), "c")

    assert result.get(timeout=1) == ["a", "b", "c"]


@pytest.mark.parametrize("state", [FAILURE, IGNORED])
def test_a_row_without_a_result_has_its_exception_or_none(state: str) -> None:
    result = result_of()
    store(message_id(result.id, 0), ValueError("no") if state == FAILURE else None, state)

    (value,) = result.get(timeout=1, propagate=False)

    assert str(value) == ("no" if state == FAILURE else "None")


def test_the_exception_of_a_method_is_raised() -> None:
    result = result_of()
    store(message_id(result.id, 0), ValueError("no"), FAILURE)

    with pytest.raises(ValueError, match=r"^no$"):
        result.get(timeout=1)


def batch(outcome: Outcome, state: str = SUCCESS) -> Any:
    """Return the result of a bulk with one batch, which has this outcome."""
    result = result_of(batch_size=outcome.rows)
    task_id = message_id(result.id, 0)
    if state == SUCCESS:
        store(task_id, outcome.as_result())
    else:
        store(failure_record_id(task_id), outcome.as_result())
        store(task_id, None, state)
    return result


def test_an_exception_in_an_outcome_takes_the_place_of_the_value() -> None:
    outcome = Outcome(2, ["a"])
    outcome.add_ending("failed", 6, "ValueError: no", ERROR)
    result = batch(outcome)

    value, error = result.get(timeout=1, propagate=False)

    assert (value, type(error), str(error)) == ("a", ValueError, "no")
    with pytest.raises(ValueError, match=r"^no$"):
        result.get(timeout=1)


def test_a_row_that_was_discarded_has_no_value() -> None:
    outcome = Outcome(1)
    outcome.add_ending("missing", 6, "DoesNotExist: gone")

    assert batch(outcome).get(timeout=1) == [None]


def test_a_row_that_ran_again_has_the_value_of_its_own_task() -> None:
    outcome = Outcome(2, ["a"])
    outcome.add_retried()
    result = batch(outcome)
    store(row_id(message_id(result.id, 0), 1), "b")

    assert result.get(timeout=1) == ["a", "b"]


def test_a_failure_of_an_earlier_version_has_the_exception_of_its_own_task() -> None:
    outcome = Outcome(1, failed=[[0, 6, "ValueError: no"]], results=[None])
    result = batch(outcome)
    store(row_id(message_id(result.id, 0), 0), ValueError("no"), FAILURE)

    with pytest.raises(ValueError, match=r"^no$"):
        result.get(timeout=1)


def test_the_rest_of_a_batch_has_values() -> None:
    outcome = Outcome(3, ["a"])
    result = result_of(batch_size=3)
    task_id = message_id(result.id, 0)
    outcome.rest = [1, rest_id(task_id, 1)]
    store(task_id, outcome.as_result())
    store(rest_id(task_id, 1), Outcome(2, ["b", "c"]).as_result())

    assert result.get(timeout=1) == ["a", "b", "c"]


@pytest.mark.parametrize("state", [REVOKED, FAILURE])
def test_rows_of_a_batch_that_were_revoked_have_that_error(state: str) -> None:
    outcome = Outcome(2, ["a"])
    outcome.add_ending("revoked", 6, "TaskRevokedError: terminated")
    result = result_of(batch_size=2)
    task_id = message_id(result.id, 0)
    store(failure_record_id(task_id), outcome.as_result())
    error = TaskRevokedError("terminated") if state == REVOKED else ValueError("no")
    store(task_id, error, state)

    value, raised = result.get(timeout=1, propagate=False)

    assert (value, type(raised), str(raised)) == ("a", TaskRevokedError, "terminated")


def test_a_revoked_row_has_that_error() -> None:
    result = result_of()
    task_id = message_id(result.id, 0)
    store(failure_record_id(task_id), ["revoked", [5], "TaskRevokedError: revoked"])
    store(task_id, TaskRevokedError("revoked"), REVOKED)

    with pytest.raises(TaskRevokedError):
        result.get(timeout=1)


def test_a_batch_without_an_outcome_has_no_values() -> None:
    result = result_of(batch_size=2)
    store(message_id(result.id, 0), "another program's")

    assert result.get(timeout=1) == [None, None]


def test_a_result_that_was_removed_since_is_an_error() -> None:
    result = result_of()
    store(message_id(result.id, 0), 1)
    assert result.ready()
    app.backend.forget(message_id(result.id, 0))

    with pytest.raises(ResultsExpired) as caught:
        result.get()

    assert str(caught.value) == (
        f"The result backend had the results of all 1 rows of the bulk {result.id}, and has lost "
        "some since: they have expired, or were deleted. Read results sooner, or keep them longer "
        "with CELERY_RESULT_EXPIRES."
    )
