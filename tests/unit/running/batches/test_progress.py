"""The progress of a batch in the result backend, for other hosts."""

from __future__ import annotations

import os
import time
import uuid
from typing import Any
from unittest import mock

import pytest

from cereal_methods.results.ids import progress_id
from cereal_methods.results.outcome import Outcome
from cereal_methods.running.batches import progress
from cereal_methods.running.batches.events import Events
from cereal_methods.running.batches.journal import Journal
from cereal_methods.running.batches.progress import (
    STATE,
    Publisher,
    recorded_progress,
    wait_for_backend,
)
from tests.celery import app


@pytest.fixture
def batch_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """Return a publisher whose thread does nothing."""
    publisher = Publisher()
    monkeypatch.setattr(publisher, "_run", lambda: None)
    return publisher


def stored(batch_id: str) -> Any:
    return app.backend.get_task_meta(progress_id(batch_id), cache=False)["result"]


def test_the_lines_of_rows_that_have_ended_are_stored(quiet: Publisher, batch_id: str) -> None:
    journal = Journal(batch_id)
    quiet.add(app, journal)
    journal.end("=1", at_once=True)

    quiet.store(app, journal)

    assert stored(batch_id) == "=1\n"
    assert quiet.remove(batch_id)
    assert not quiet.remove(batch_id)


def test_progress_that_has_not_changed_is_not_stored(quiet: Publisher, batch_id: str) -> None:
    journal = Journal(batch_id)
    quiet.add(app, journal)

    quiet.store(app, journal)

    assert stored(batch_id) is None
    assert not quiet.remove(batch_id)


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_batch_that_has_ended_has_no_progress(
    quiet: Publisher, batch_id: str, moment: str
) -> None:
    journal = Journal(batch_id)
    quiet.add(app, journal)
    journal.end("=1", at_once=True)
    if moment == "before":
        quiet.remove(batch_id)
        quiet.store(app, journal)
        assert stored(batch_id) is None
    else:
        with mock.patch.object(app.backend, "store_result") as store:
            store.side_effect = lambda *args: quiet.remove(batch_id)
            quiet.store(app, journal)
    assert not quiet.remove(batch_id)


def test_an_unavailable_backend_is_asked_again(quiet: Publisher, batch_id: str) -> None:
    journal = Journal(batch_id)
    quiet.add(app, journal)
    journal.end("=1", at_once=True)
    with mock.patch.object(app.backend, "store_result", side_effect=ConnectionError):
        quiet.store(app, journal)
    assert stored(batch_id) is None

    quiet.store(app, journal)

    assert stored(batch_id) == "=1\n"


def test_a_fork_forgets_the_batches_of_its_parent(quiet: Publisher, batch_id: str) -> None:
    with mock.patch("os.getpid", return_value=os.getpid() + 1):
        quiet.add(app, Journal("of-the-parent"))

    quiet.add(app, Journal(batch_id))

    assert list(quiet._batches) == [batch_id]


def test_a_thread_stores_the_progress_of_long_batches(
    batch_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.02)
    publisher, journal = Publisher(), Journal(batch_id)
    journal.end("=1", at_once=True)
    stored_by_thread: list[str] = []
    monkeypatch.setattr(
        publisher, "store", lambda app, journal: stored_by_thread.append(journal.id)
    )

    publisher.add(app, journal)
    publisher.add(app, Journal("another"))
    deadline = time.monotonic() + 10
    while {batch_id, "another"} - {*stored_by_thread} and time.monotonic() < deadline:
        time.sleep(0.01)

    assert {*stored_by_thread} == {batch_id, "another"}
    publisher.remove(batch_id)
    publisher.remove("another")


def test_another_host_reads_progress_from_the_result_backend(batch_id: str) -> None:
    app.backend.store_result(progress_id(batch_id), "=1\n~\n", STATE)

    assert recorded_progress(app.backend, batch_id) == (None, Events(["=1", "~"]))


def test_a_batch_without_progress_has_no_events(batch_id: str) -> None:
    assert recorded_progress(app.backend, batch_id) == (None, Events())


def test_an_outcome_is_found(batch_id: str) -> None:
    app.backend.store_result(batch_id, Outcome(2, [1, 2]).as_result(), "SUCCESS")

    assert recorded_progress(app.backend, batch_id) == (Outcome(2, [1, 2]), Events())


def test_an_unavailable_backend_has_no_progress(caplog: pytest.LogCaptureFixture) -> None:
    backend = mock.Mock(**{"get_task_meta.side_effect": ConnectionError("unavailable")})

    assert recorded_progress(backend, "the-id") == (None, Events())
    assert caplog.messages == ["The progress of batch the-id could not be read: unavailable"]


def test_a_batch_waits_for_an_unavailable_backend(caplog: pytest.LogCaptureFixture) -> None:
    answers = [ConnectionError("unavailable"), ConnectionError("unavailable"), {}]
    backend = mock.Mock(**{"get_task_meta.side_effect": answers})

    with mock.patch.object(progress.time, "sleep") as sleep:
        wait_for_backend(backend, "the-id")

    assert [call.args for call in sleep.call_args_list] == [(0.1,), (0.2,)]
    assert (
        caplog.messages
        == ["Batch the-id waits for the result backend: ConnectionError: unavailable"] * 2
    )


def test_a_batch_waits_for_a_limited_time() -> None:
    backend = mock.Mock(**{"get_task_meta.side_effect": ConnectionError("unavailable")})

    wait_for_backend(backend, "the-id", max_wait=0)

    assert backend.get_task_meta.call_count == 1
