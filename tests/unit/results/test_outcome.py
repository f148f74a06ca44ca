"""The outcome of a batch, and its form in the result backend."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods.results.outcome import OUTCOME, Outcome, outcome_from
from cereal_methods.rows.reference import ModelReference

ORDER = ModelReference("shop.Order", 7, "default")
ERROR = {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}


def full() -> Outcome:
    """Return an outcome with rows of every kind."""
    outcome = Outcome(8)
    outcome.add_result("a")
    outcome.add("failed", ORDER, "ValueError: no", ERROR)
    outcome.add("missing", ORDER, "DoesNotExist: gone")
    outcome.add_retried()
    outcome.add("ignored", ORDER, "Ignore: ")
    outcome.add_ending("revoked", 8, "TaskRevokedError: terminated")
    outcome.rest = [6, "the-rest"]
    return outcome


def test_an_outcome_is_read_as_written() -> None:
    assert full().as_result() == {
        "cereal_methods.outcome": [
            8,
            ["a", None, None, None, None, None],
            [[1, 7, "ValueError: no"]],
            [[2, 7, "DoesNotExist: gone"]],
            [3],
            [[4, 7, "Ignore: "]],
            [[5, 8, "TaskRevokedError: terminated"]],
            [[1, ERROR]],
            [6, "the-rest"],
        ]
    }
    assert outcome_from(full().as_result()) == full()


def test_unneeded_fields_are_left_out() -> None:
    assert Outcome(2, [None, None]).as_result() == {OUTCOME: [2, None, [], [], []]}
    assert outcome_from({OUTCOME: [2, None, [], [], []]}) == Outcome(2, [None, None])


def test_rows_of_the_rest_have_no_results_yet() -> None:
    outcome = Outcome(3, [None], rest=[1, "the-rest"])

    assert outcome_from(outcome.as_result()) == outcome


def test_rows_without_a_result_are_known() -> None:
    assert full().without_result() == {1, 2, 3, 4, 5}
    assert full().ended == 6


@pytest.mark.parametrize("value", [None, [], {}, {OUTCOME: [], "b": 1}, {"a": []}])
def test_other_results_are_not_outcomes(value: Any) -> None:
    assert outcome_from(value) is None
