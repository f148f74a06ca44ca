"""The journal of a batch, as another process of the host reads it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from unittest import mock

import pytest

from cereal_methods.running.batches import journal
from cereal_methods.running.batches.events import Events
from cereal_methods.running.batches.journal import Journal


@pytest.fixture
def opened() -> Journal:
    """Return a journal whose file is open."""
    journal = Journal("the-id")
    assert journal.open() == Events()
    return journal


def test_another_process_reads_which_rows_ended_and_started(opened: Journal) -> None:
    opened.start(0)
    opened.end("=5", at_once=False)
    opened.start(1)
    opened.end("~", at_once=True)
    opened.start(2)
    opened.close()

    events = Journal("the-id").open()

    assert events == Events(["=5", "~"], started=2, crashes=1)


def test_a_journal_is_continued_after_its_lines(opened: Journal) -> None:
    opened.end("=1", at_once=True)
    opened.close()
    again = Journal("the-id")
    again.open()

    again.end("=2", at_once=True)

    assert again.text() == "=1\n=2\n"


def test_the_end_of_a_row_may_wait_for_the_start_of_the_next(opened: Journal) -> None:
    opened.start(0)
    opened.end("=1", at_once=False)
    assert journal.read("the-id").lines == []

    opened.flush()

    assert journal.read("the-id").lines == ["=1"]


def test_the_progress_of_another_host_is_written(opened: Journal) -> None:
    opened.continue_from(Events(["=1", "~"]))

    assert journal.read("the-id").lines == ["=1", "~"]
    assert opened.text() == "=1\n~\n"


def test_rows_in_one_transaction_have_ended_when_it_is_committed(opened: Journal) -> None:
    opened.is_held = True
    opened.start(0)
    opened.end("=1", at_once=True)
    opened.start(1)
    assert journal.read("the-id").lines == []
    assert opened.text() == ""

    opened.end("=2", at_once=True)
    opened.release()

    assert journal.read("the-id").lines == ["=1", "=2"]
    assert opened.text() == "=1\n=2\n"


def test_a_recorded_batch_is_marked(opened: Journal) -> None:
    opened.end("=1", at_once=True)

    journal.mark_recorded("the-id")

    assert journal.read("the-id") == Events(["=1"], is_recorded=True)


def test_a_removed_journal_has_no_events(opened: Journal, journals: Path) -> None:
    opened.start(0)

    journal.remove("the-id")
    journal.remove("the-id")

    assert list(journals.iterdir()) == []
    assert journal.read("the-id") == Events()


def test_without_a_path_nothing_is_written() -> None:
    book = Journal("../the-id")

    assert book.open() == Events()
    book.start(0)
    book.end("=1", at_once=True)
    journal.mark_recorded("../the-id")
    journal.remove("../the-id")
    assert journal.read("../the-id") == Events()
    assert book.text() == "=1\n"


def test_another_file_is_not_changed(journals: Path) -> None:
    (journals / "the-id").write_text(">x\n")
    book = Journal("the-id")

    assert book.open() == Events()
    book.start(0)
    assert journal.read("the-id") == Events()
    assert (journals / "the-id").read_text() == ">x\n"


def test_a_link_is_not_followed(journals: Path, tmp_path: Path) -> None:
    (journals / "the-id").symlink_to(tmp_path / "target")

    Journal("the-id").open()

    assert not (tmp_path / "target").exists()


def test_a_full_disk_does_not_stop_a_batch(opened: Journal) -> None:
    with mock.patch("os.write", side_effect=OSError(errno.ENOSPC, "full")):
        opened.start(0)

    opened.end("=1", at_once=True)
    opened.close()
    assert journal.read("the-id") == Events()
    assert opened.lines == ["=1"]


def test_a_journal_waits_for_another_process_that_runs_the_batch(opened: Journal) -> None:
    opened.end("=1", at_once=True)

    def stop(seconds: float) -> None:
        opened.close()

    with mock.patch.object(journal.time, "sleep", stop):
        events = Journal("the-id").open()

    assert events.lines == ["=1"]


def test_a_system_without_file_locks_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "fcntl", None)
    first, second = Journal("the-id"), Journal("the-id")

    first.open()

    assert second.open() == Events()


def test_a_journal_is_written_while_it_is_published(opened: Journal) -> None:
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(opened.text()))
    opened.end("=1", at_once=True)

    thread.start()
    thread.join()

    assert texts == ["=1\n"]
    assert os.path.exists(journal.path_of("the-id") or "")
