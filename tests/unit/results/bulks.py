"""Results of bulks, and the records of their messages in the result backend."""

from __future__ import annotations

import uuid
from typing import Any

from celery.states import SUCCESS

from cereal_methods import BulkResult
from tests.celery import app


def result_of(batch_size: int = 1, full: int = 1, **options: Any) -> BulkResult:
    """Return the result of a bulk of ``full`` messages, each with so many rows."""
    return BulkResult(str(uuid.uuid4()), batch_size, full, app=app, **options)


def store(task_id: str, value: Any, state: str = SUCCESS) -> None:
    """Store the record of a task."""
    app.backend.store_result(task_id, value, state)
