"""The ids of a bulk's messages, rows and records.

Each is computed from another, so a result for a million rows does not have to store a million ids.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from uuid import NAMESPACE_OID, UUID, uuid5


@lru_cache(maxsize=16)  # the rows of a batch share one
def _namespace(task_id: str) -> UUID:
    try:
        return UUID(task_id)
    except ValueError:  # the caller chose the id
        return uuid5(NAMESPACE_OID, task_id)


def _derived_id(task_id: str, name: str) -> str:
    """Return ``str(uuid5(namespace, name))``, in a third of the time."""
    digest = bytearray(
        sha1(_namespace(task_id).bytes + name.encode(), usedforsecurity=False).digest()
    )
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


def message_id(bulk_id: str, number: int) -> str:
    """Return the task id of a bulk's message."""
    return _derived_id(bulk_id, str(number))


def row_id(batch_id: str, position: int) -> str:
    """Return the task id of a batch's row, in its hooks and if it runs again."""
    return _derived_id(batch_id, str(position))


def rest_id(batch_id: str, position: int) -> str:
    """Return the task id of the message that continues a batch at this position."""
    return _derived_id(batch_id, f"from {position}")


def failure_record_id(task_id: str) -> str:
    """Return the id of a task's failure record."""
    return _derived_id(task_id, "note")


def progress_id(batch_id: str) -> str:
    """Return the id of the record of a running batch's progress."""
    return _derived_id(batch_id, "progress")
