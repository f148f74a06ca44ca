"""Who reads a task's arguments: Celery, which calls the function, or a JSON encoder.

Python shows it in the frame of the caller. Each function here is told how many frames above
itself that is.
"""

from __future__ import annotations

import sys

from ..celery_api.tasks import is_tracer


def is_called_by_celery(depth: int) -> bool:
    """Whether Celery unpacks arguments to call a task, and not a hook for its own use."""
    return is_tracer(sys._getframe(depth))


def is_read_by_json(depth: int) -> bool:
    """Whether a JSON encoder reads a container, which cannot write the rows in it.

    The encoder of ``cereal-json`` can, while it writes a call: it writes references.
    """
    frame = sys._getframe(depth)
    if frame.f_globals.get("__name__") != "json.encoder":
        return False
    table = getattr(frame.f_locals.get("self"), "table", None)
    return not (table and table.is_call)
