"""Reads a bulk's records from the result backend, many in one round trip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from ..celery_api.backends import records_of
from .failure_record import failure_record_from
from .ids import failure_record_id
from .progress import BulkProgress, may_have_failure_record

#: How many records are read at once.
_CHUNK: Final = 10_000


def read_records(backend: Any, ids: Iterable[str]) -> dict[str, Any]:
    """Return the records of tasks by their ids; some backends leave out unknown ids."""
    ids = list(ids)
    return records_of(backend, ids) if ids else {}


def read_progress(
    backend: Any, progress: BulkProgress, new: Iterable[tuple[str, int]]
) -> BulkProgress:
    """Return what the records of a bulk say now, of its open messages and of new ones.

    ``new`` are ids and numbers of rows of messages that were not read before. ``progress`` does
    not change: if the backend is unavailable, what was read before stays valid.
    """
    newer = BulkProgress()
    for messages in (progress.open.items(), new):
        for chunk in chunks(messages):
            _read_chunk(backend, newer, chunk)
    return newer


def _read_chunk(backend: Any, progress: BulkProgress, messages: dict[str, int]) -> None:
    metas = read_records(backend, messages)
    record_ids = {
        task_id: failure_record_id(task_id)
        for task_id, meta in metas.items()
        if may_have_failure_record(meta)
    }
    records = read_records(backend, record_ids.values())
    again: dict[str, int] = {}
    for task_id, rows in messages.items():
        record = failure_record_from(records.get(record_ids.get(task_id, "")))
        again.update(progress.add_message(task_id, rows, metas.get(task_id), record))
    for chunk in chunks(again.items()):
        _read_chunk(backend, progress, chunk)


def chunks(messages: Iterable[tuple[str, int]]) -> Iterator[dict[str, int]]:
    """Split messages into as many as are read at once."""
    remaining = iter(messages)
    return iter(lambda: dict(islice(remaining, _CHUNK)), {})
