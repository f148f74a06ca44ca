"""The batches of this process that have ended, until Celery has stored their outcomes."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery import signals
from celery.states import SUCCESS

from ...results.failure_record import store_failure_record
from ...results.ids import progress_id
from . import journal

if TYPE_CHECKING:
    from ...results.outcome import Outcome

logger = logging.getLogger("cereal_methods")


@dataclass(frozen=True, slots=True)
class FinishedBatch:
    """A batch that has ended; ``has_progress`` if its progress is in the result backend."""

    task: Any
    outcome: Outcome
    has_progress: bool


#: By the ids of their tasks.
finished: Final[dict[str, FinishedBatch]] = {}


@signals.task_postrun.connect(weak=False, dispatch_uid=f"{__name__}.clean")
def _clean_up(task_id: Any = None, state: Any = None, **_: Any) -> None:
    """Remove a batch's journal and progress: its outcome is in the result backend."""
    batch = finished.pop(task_id, None)
    # While an error is raised the outcome is not stored, and the consumer needs the journal.
    if batch is None or sys.exc_info()[1] is not None:
        return
    try:
        if state != SUCCESS:  # Celery has stored an error in place of the outcome
            store_failure_record(batch.task.backend, task_id, batch.outcome)
        if batch.has_progress:
            batch.task.backend.forget(progress_id(task_id))
    except Exception as error:
        logger.warning("The end of batch %s could not be recorded: %s", task_id, error)
    journal.remove(task_id)
