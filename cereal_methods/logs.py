"""Fields of log records that are written while a task runs."""

from __future__ import annotations

import logging
from typing import Any

from celery._state import get_current_task

from . import display


class TaskFields(logging.Filter):
    """Give log records the task that they are written in, and its row.

    Put it among the filters of a handler, in Django's ``LOGGING``. Records get

    ``call``                    ``shop.models.Order.ship <shop.Order 5> express=True``
    ``task_name``, ``task_id``  as Celery's own formatter has them
    ``model``, ``pk``, ``database``
                                of the row: its label, an integer or text, an alias; of
                                several rows ``rows``, their number, in the place of ``pk``.

    Outside of tasks ``call``, ``task_name`` and ``task_id`` are empty, and the others
    missing. No query is run. It lets every record pass.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields that the record has not got from its caller."""
        task = get_current_task()
        found = {"call": "", "task_name": "", "task_id": ""}
        if task is not None and task.request.id:
            found = _fields(task)
        elif isinstance(data := getattr(record, "data", None), dict) and "name" in data:
            # Celery's consumer tells of a message that it has received.
            found = {
                "call": " ".join(str(data.get(part, "")) for part in ("name", "args", "kwargs")),
                "task_name": data["name"],
                "task_id": data.get("id", ""),
            }
        for name, value in found.items():
            record.__dict__.setdefault(name, value)
        return True


def _fields(task: Any) -> dict[str, Any]:
    try:
        return {"call": display.call_text(task), **display.fields(task)}
    except Exception:  # a log line must not fail what it is about
        return {"call": task.name, "task_name": task.name, "task_id": task.request.id}
