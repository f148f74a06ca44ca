"""Records of the consumer, stored in the background while the result backend is unavailable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from cereal_methods.running.requests import storing
from cereal_methods.running.requests.storing import store_or_retry


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses that were made, each of which ends at once."""
    seconds: list[float] = []
    monkeypatch.setattr(storing.time, "sleep", seconds.append)
    return seconds


def store_in_background(store: Callable[[Any], Any]) -> None:
    """Store something, and wait for the thread that does it again."""
    before = {*threading.enumerate()}
    store_or_retry(store, mock.Mock(backend="the backend"), "the-id")
    for thread in {*threading.enumerate()} - before:
        thread.join(10)


def test_a_record_is_stored_at_once(pauses: list[float]) -> None:
    store = mock.Mock()

    store_in_background(store)

    store.assert_called_once_with("the backend")
    assert pauses == []


def test_a_record_is_stored_when_the_backend_is_available_again(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    store = mock.Mock(side_effect=[*[ConnectionError("unavailable")] * 7, None])

    store_in_background(store)

    assert store.call_count == 8
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert caplog.messages == ["A record of the-id waits for the result backend: unavailable"]


def test_a_record_that_cannot_be_stored_is_logged(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storing, "_MAX_UNAVAILABLE", 0.0)
    store = mock.Mock(side_effect=ConnectionError("unavailable"))

    store_in_background(store)

    assert store.call_count == 2
    assert caplog.messages[1:] == ["A record of the-id could not be stored."]
