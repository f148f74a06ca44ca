"""How the rows of a bulk are counted, from the records of its messages."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import Ignore, Retry, TaskRevokedError
from celery.result import EagerResult
from celery.states import FAILURE, IGNORED, PENDING, REVOKED, STARTED

from cereal_methods.results import reader
from cereal_methods.results.counts import Counts
from cereal_methods.results.failure_record import FailureRecord
from cereal_methods.results.ids import failure_record_id, message_id, rest_id, row_id
from cereal_methods.results.outcome import Outcome
from cereal_methods.results.progress import BulkProgress

from .bulks import result_of, store


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("revoked", REVOKED),
        ("expired", REVOKED),
        ("ignored", IGNORED),
        ("failed", FAILURE),
        ("missing", FAILURE),
    ],
)
def test_a_failure_record_says_how_a_row_has_ended(kind: str, state: str) -> None:
    result = result_of()
    task_id = message_id(result.id, 0)
    store(failure_record_id(task_id), [kind, [5], "the text"])
    store(task_id, ValueError("x") if state == FAILURE else None, state)

    assert result.counts() == Counts(1, **{kind: 1})
    assert result.failures() == ([] if kind == "ignored" else [(5, "the text")])


def test_the_kinds_of_later_versions_are_failures() -> None:
    progress = BulkProgress()

    progress.add_message("x", 2, {"status": FAILURE}, FailureRecord("melted", [], "the text"))

    assert progress.numbers == {"failed": 2}
    assert progress.failures == [(None, "the text")] * 2


def test_a_state_that_a_method_has_set_is_kept_and_its_row_is_ignored() -> None:
    result = result_of()
    task_id = message_id(result.id, 0)
    store(task_id, {"why": 1}, "SKIPPED")
    assert result.counts() == Counts(1)

    store(failure_record_id(task_id), ["ignored", [5], "Ignore: "])

    assert result.counts() == Counts(1, ignored=1)


@pytest.mark.parametrize(
    ("meta", "kind", "text"),
    [
        ({"status": FAILURE, "result": ValueError("no")}, "failed", "ValueError: no"),
        ({"status": FAILURE, "result": None}, "failed", "ended without a result"),
        ({"status": IGNORED, "result": None}, "ignored", None),
        (
            {"status": REVOKED, "result": TaskRevokedError("revoked")},
            "revoked",
            "TaskRevokedError: revoked",
        ),
        (
            {"status": REVOKED, "result": TaskRevokedError("expired")},
            "expired",
            "TaskRevokedError: expired",
        ),
    ],
)
def test_without_a_failure_record_the_state_decides(meta: Any, kind: str, text: str | None) -> None:
    progress = BulkProgress()

    assert progress.add_message("x", 2, meta, None) == {}
    assert progress.numbers == {kind: 2}
    assert progress.failures == ([] if text is None else [(None, text)] * 2)
    assert progress.open == {}


@pytest.mark.parametrize(
    ("meta", "unrecorded"), [(None, 2), ({"status": PENDING}, 2), ({"status": STARTED}, 0)]
)
def test_other_messages_are_open(meta: Any, unrecorded: int) -> None:
    progress = BulkProgress()

    progress.add_message("x", 2, meta, None)

    assert (progress.open, progress.unrecorded) == ({"x": 2}, unrecorded)


def test_a_batch_without_an_outcome_has_failed() -> None:
    result = result_of(batch_size=3)
    store(message_id(result.id, 0), "what another program has stored")

    assert result.counts() == Counts(3, failed=3)
    assert result.failures() == [
        (None, "ValueError: 3 rows have no outcome: 'what another program has stored'")
    ]


def test_the_rows_of_an_outcome_are_counted() -> None:
    outcome = Outcome(5, ["a"])
    outcome.add_ending("failed", 2, "ValueError: no")
    outcome.add_ending("missing", 3, "DoesNotExist: gone")
    outcome.add_ending("ignored", 4, "Ignore: ")
    outcome.add_ending("revoked", 5, "TaskRevokedError: terminated")
    result = result_of(batch_size=5)
    store(message_id(result.id, 0), outcome.as_result())

    assert result.counts() == Counts(5, succeeded=1, failed=1, missing=1, ignored=1, revoked=1)
    assert result.failures() == [
        (2, "ValueError: no"),
        (3, "DoesNotExist: gone"),
        (5, "TaskRevokedError: terminated"),
    ]


def test_the_rest_of_a_batch_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_CHUNK", 1)
    result = result_of(batch_size=4)
    batch = message_id(result.id, 0)
    outcome = Outcome(4, ["a"])
    outcome.add_retried()
    outcome.rest = [2, rest_id(batch, 2)]
    store(batch, outcome.as_result())
    assert result.counts() == Counts(4, succeeded=1)

    store(row_id(batch, 1), "b")
    store(rest_id(batch, 2), Outcome(2, ["c", "d"]).as_result())

    assert result.counts() == Counts(4, succeeded=4)


def test_the_failure_record_of_a_batch_may_be_an_outcome() -> None:
    result = result_of(batch_size=3)
    batch = message_id(result.id, 0)
    outcome = Outcome(3, ["a", None, None], revoked=[[1, 6, "r"], [2, 7, "r"]])
    store(failure_record_id(batch), outcome.as_result())
    store(batch, None, REVOKED)

    assert result.counts() == Counts(3, succeeded=1, revoked=2)
    assert result.failures() == [(6, "r"), (7, "r")]


def test_the_repr_of_counts_shows_the_numbers_that_matter() -> None:
    assert repr(Counts(3, succeeded=1, failed=2)) == (
        "Counts(total=3, succeeded=1, failed=2, missing=0)"
    )
    assert repr(Counts(2, ignored=1, expired=1)) == (
        "Counts(total=2, succeeded=0, failed=0, missing=0, ignored=1, expired=1)"
    )


def test_ignored_rows_are_not_wrong() -> None:
    counts = Counts(6, 1, 1, 1, 1, 1, 1)

    assert (counts.completed, counts.without_result, counts.wrong) == (6, 5, 4)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Ignore("no"), "ignored"), (ValueError("no"), "failed"), (Retry(), "failed")],
)
def test_an_eager_row_has_ended_as_its_task_has(error: Exception, kind: str) -> None:
    progress = BulkProgress()

    progress.add_eager(5, EagerResult("the-id", error, FAILURE))

    assert progress.numbers == {kind: 1}
    assert [key for key, _ in progress.failures] == ([] if kind == "ignored" else [5])
