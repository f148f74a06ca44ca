"""How far a batch is, as its file tells another process."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cereal_methods import journal, progress
from cereal_methods.journal import Events, Journal
from cereal_methods.outcomes import Outcome, progress_id
from tests.celery import app


def same(value: Any) -> Any:
    return value


@pytest.fixture
def batch_id() -> Iterator[str]:
    name = str(uuid.uuid4())
    yield name
    journal.remove(name)


def test_another_process_finds_what_has_ended_and_what_was_running(batch_id: str) -> None:
    first = Journal(batch_id)
    assert first.open() == Events()
    first.begin(0)
    first.end("=5", at_once=False)
    first.begin(1)
    first.end('!["failed", 7, "ValueError: no", {"exc_type": "ValueError"}]', at_once=True)
    first.begin(2)
    first.end("~", at_once=False)
    first.begin(3)
    first.close()

    events = Journal(batch_id).open()

    assert (events.begun, events.crashes) == (3, 1)
    outcome = events.outcome(5, same)
    assert outcome.results == [5, None, None]
    assert outcome.failed == [[1, 7, "ValueError: no"]]
    assert outcome.raised == [[1, {"exc_type": "ValueError"}]]
    assert outcome.retried == [2]


def test_crashes_at_a_row_are_counted(batch_id: str) -> None:
    for _ in range(3):
        book = Journal(batch_id)
        book.open()
        book.begin(0)
        book.close()

    events = journal.read(batch_id)

    assert (events.begun, events.crashes) == (0, 3)


def test_what_was_cut_off_is_left_out() -> None:
    events = Events.read('>0\n=1\n>1\n="cut o')

    assert (events.lines, events.begun) == (["=1"], 1)


def test_rows_in_one_transaction_have_ended_when_it_is_committed(batch_id: str) -> None:
    book = Journal(batch_id)
    book.open()
    book.is_held = True
    book.begin(0)
    book.end("=1", at_once=True)
    book.begin(1)
    assert journal.read(batch_id).lines == []
    assert book.text() == ""

    book.end("=2", at_once=True)
    book.release()

    assert journal.read(batch_id).lines == ["=1", "=2"]


def test_the_folder_is_the_user_s_alone(batch_id: str) -> None:
    path = journal.path_of(batch_id)

    assert path is not None
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["link", "open"])
def test_a_folder_of_others_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = tmp_path / f"cereal_methods-{os.getuid()}"
    if kind == "link":
        folder.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").mkdir()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    monkeypatch.setattr(journal.tempfile, "gettempdir", lambda: str(tmp_path))
    journal._folder.cache_clear()
    try:
        book = Journal("5")
        assert book.open() == Events()
        book.begin(0)
        assert list(folder.iterdir()) == []
    finally:
        journal._folder.cache_clear()


@pytest.mark.parametrize("name", ["../5", "a/b", "", "a" * 200, "5\n"])
def test_an_id_that_is_no_name_has_no_file(name: str) -> None:
    assert journal.path_of(name) is None


def test_another_host_goes_by_the_result_backend() -> None:
    batch_id = str(uuid.uuid4())
    app.backend.store_result(progress_id(batch_id), "=1\n~\n", progress.STATE)

    outcome, events = progress.recorded(app.backend, batch_id)

    assert outcome is None
    assert events.lines == ["=1", "~"]


def test_a_batch_that_has_an_outcome_is_not_run_again() -> None:
    batch_id = str(uuid.uuid4())
    app.backend.store_result(batch_id, Outcome(2, [1, 2]).as_result(), "SUCCESS")

    outcome, _ = progress.recorded(app.backend, batch_id)

    assert outcome == Outcome(2, [1, 2])
