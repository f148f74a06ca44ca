"""Waiting for a bulk."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from celery.exceptions import TimeoutError as CeleryTimeoutError

from cereal_methods.exceptions import RecordingError
from cereal_methods.results import waiting
from cereal_methods.results.counts import Counts
from cereal_methods.results.ids import message_id
from cereal_methods.results.waiting import NeverWaits, wait_until_completed
from cereal_methods.testing.backend import RecordedResults
from tests.celery import app

from .bulks import result_of, store

UNAVAILABLE = ConnectionError("unavailable")


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def wait(answers: list[Any], timeout: float | None = None, **options: Any) -> Counts:
    """Wait for a bulk that is read with these answers, or errors."""
    read = mock.Mock(side_effect=answers)
    options = {"interval": 0.5, "on_progress": None, **options}
    return wait_until_completed("the-id", read, lambda: None, timeout=timeout, **options)


def test_waiting_for_a_completed_bulk_returns_at_once(clock: Clock) -> None:
    assert wait([Counts(1, 1)]) == Counts(1, 1)
    assert clock.pauses == []


def test_the_numbers_are_read_at_each_interval(clock: Clock) -> None:
    seen: list[Counts] = []

    wait([Counts(2), Counts(2, 1), Counts(2, 2)], interval=0.25, on_progress=seen.append)

    assert seen == [Counts(2), Counts(2, 1), Counts(2, 2)]
    assert clock.pauses == [0.25, 0.25]


def test_a_timeout_is_celery_s(clock: Clock) -> None:
    with pytest.raises(CeleryTimeoutError) as caught:
        wait([Counts(3, 1)] * 9, timeout=1)

    assert str(caught.value) == "1 of 3 rows are completed after 1 s."
    assert clock.pauses == [0.5, 0.5]


def test_an_unavailable_backend_is_read_again(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert wait([Counts(1), UNAVAILABLE, UNAVAILABLE, Counts(1, 1)]) == Counts(1, 1)
    assert (
        caplog.messages
        == [
            "The results of bulk the-id could not be read, and are read again: "
            "ConnectionError: unavailable"
        ]
        * 2
    )


def test_an_unavailable_backend_is_an_error_at_first(clock: Clock) -> None:
    with pytest.raises(ConnectionError):
        wait([UNAVAILABLE])


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 600.5), (5, 5.0)])
def test_an_unavailable_backend_is_read_for_a_limited_time(
    clock: Clock, timeout: float | None, seconds: float
) -> None:
    with pytest.raises(ConnectionError):
        wait([Counts(1), *[UNAVAILABLE] * 2000], timeout=timeout)

    assert clock.now - 100.0 == pytest.approx(seconds, abs=0.1)


def test_a_recorder_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(app), "backend", RecordedResults(app))
    result = result_of()

    with pytest.raises(RecordingError):
        result.wait()


def test_backends_that_never_wait_must_say_why() -> None:
    with pytest.raises(NotImplementedError):
        NeverWaits().refuse_to_wait("the-id")


def test_a_bulk_waits_for_its_rows(clock: Clock) -> None:
    result = result_of()

    def run(counts: Counts) -> None:
        store(message_id(result.id, 0), 1)

    assert result.wait(on_progress=run) == Counts(1, succeeded=1)
