"""What is removed when the outcome of a batch is in the result backend."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from celery import signals
from celery.states import FAILURE, SUCCESS

from cereal_methods.results.ids import failure_record_id, progress_id
from cereal_methods.results.outcome import Outcome
from cereal_methods.running.batches.finished import FinishedBatch, finished
from tests.celery import app


@pytest.fixture
def batch_id(journals: Path) -> str:
    task_id = str(uuid.uuid4())
    (journals / task_id).write_text("=1\n")
    return task_id


def end(batch_id: str, state: str, *, has_progress: bool = False, backend: Any = None) -> None:
    """Let Celery say that a batch has ended."""
    task = mock.Mock(backend=backend or app.backend)
    finished[batch_id] = FinishedBatch(task, Outcome(1, [5]), has_progress)
    signals.task_postrun.send(sender=task, task_id=batch_id, state=state)


def stored(task_id: str) -> Any:
    return app.backend.get_task_meta(task_id, cache=False)["result"]


def test_the_journal_is_removed(batch_id: str, journals: Path) -> None:
    end(batch_id, SUCCESS)

    assert list(journals.iterdir()) == []
    assert batch_id not in finished
    assert stored(failure_record_id(batch_id)) is None


def test_the_progress_is_removed(batch_id: str) -> None:
    app.backend.store_result(progress_id(batch_id), "=1\n", "PROGRESS")

    end(batch_id, SUCCESS, has_progress=True)

    assert stored(progress_id(batch_id)) is None


def test_if_celery_has_stored_an_error_the_outcome_is_a_failure_record(batch_id: str) -> None:
    end(batch_id, FAILURE)

    assert stored(failure_record_id(batch_id)) == Outcome(1, [5]).as_result()


def test_while_an_error_is_raised_the_journal_stays(batch_id: str, journals: Path) -> None:
    try:
        raise ConnectionError("unavailable")
    except ConnectionError:
        end(batch_id, SUCCESS)

    assert [path.name for path in journals.iterdir()] == [batch_id]


def test_an_unavailable_backend_is_logged(
    batch_id: str, journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = mock.Mock(**{"forget.side_effect": ConnectionError("unavailable")})

    end(batch_id, SUCCESS, has_progress=True, backend=backend)

    assert caplog.messages == [f"The end of batch {batch_id} could not be recorded: unavailable"]
    assert list(journals.iterdir()) == []


def test_other_tasks_are_not_changed(batch_id: str, journals: Path) -> None:
    signals.task_postrun.send(sender=None, task_id=batch_id, state=SUCCESS)

    assert len(list(journals.iterdir())) == 1
