"""The running task and its row in log records."""

from __future__ import annotations

import logging
from typing import Any

from ..celery_api.tasks import get_current_task
from ..running import text

__all__ = ["TaskFields"]


class TaskFields(logging.Filter):
    """Adds the running task and its row to log records.

    List it in the ``filters`` of a handler in Django's ``LOGGING``. A record gets:

    - ``call`` (str): ``shop.models.Order.ship <shop.Order 5> express=True``
    - ``task_name``, ``task_id`` (str), as in Celery's own formatter
    - ``model`` (str), the label of the row's model, ``database`` (str), its alias, and ``pk``
      (int, or the key as a str)
    - ``rows`` (int), the number of rows, instead of ``pk``, if there are several

    Outside a task the first three are empty and the others are missing. The filter runs no
    query, and passes every record.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields that the caller has not set."""
        task = get_current_task()
        fields = {"call": "", "task_name": "", "task_id": ""}
        if task is not None and task.request.id:
            fields = _fields(task)
        elif isinstance(data := getattr(record, "data", None), dict) and "name" in data:
            # Celery's consumer logs a message that it has received.
            fields = {
                "call": " ".join(str(data.get(part, "")) for part in ("name", "args", "kwargs")),
                "task_name": data["name"],
                "task_id": data.get("id", ""),
            }
        for name, value in fields.items():
            record.__dict__.setdefault(name, value)
        return True


def _fields(task: Any) -> dict[str, Any]:
    try:
        return {"call": text.call_text(task), **text.fields(task)}
    except Exception:  # logging must not fail the task
        return {"call": task.name, "task_name": task.name, "task_id": task.request.id}
