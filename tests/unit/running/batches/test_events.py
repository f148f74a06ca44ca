"""The events in a journal, and the outcome that they make."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cereal_methods.results.outcome import Outcome
from cereal_methods.running.batches.events import Events


def same(value: Any) -> Any:
    return value


def test_the_row_that_has_started_and_not_ended_is_known() -> None:
    assert Events.read(">0\n=1\n>1\n") == Events(["=1"], started=1, crashes=1)


def test_crashes_at_one_row_are_counted() -> None:
    assert Events.read(">0\n>0\n>0\n") == Events(started=0, crashes=3)


def test_crashes_at_another_row_are_counted_anew() -> None:
    assert Events.read(">0\n>0\n>1\n") == Events(started=1, crashes=1)


def test_a_truncated_line_is_left_out() -> None:
    assert Events.read('>0\n=1\n>1\n="cut o') == Events(["=1"], started=1, crashes=1)


def test_unknown_lines_are_left_out() -> None:
    assert Events.read("?\n\n~\n.\n") == Events(["~"], is_recorded=True)


def test_an_outcome_is_made_of_the_rows_that_have_ended() -> None:
    error = {"exc_type": "ValueError"}
    events = Events(
        [
            "=5",
            "~",
            f"!{json.dumps(['failed', 7, 'ValueError: no', error])}",
            f"!{json.dumps(['ignored', 8, 'Ignore: ', None])}",
        ]
    )

    outcome = events.outcome(6, same)

    assert outcome == Outcome(
        6,
        [5, None, None, None],
        failed=[[2, 7, "ValueError: no"]],
        retried=[1],
        ignored=[[3, 8, "Ignore: "]],
        raised=[[2, error]],
    )


def test_a_value_that_cannot_be_decoded_is_none(caplog: pytest.LogCaptureFixture) -> None:
    def decode(value: Any) -> Any:
        raise LookupError("the row is gone")

    outcome = Events(["=5"]).outcome(1, decode)

    assert outcome.results == [None]
    assert "The value that a row of a batch returned cannot be decoded." in caplog.text
