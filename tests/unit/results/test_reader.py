"""Records of many tasks, read in few round trips."""

from __future__ import annotations

import uuid
from unittest import mock

from cereal_methods.results import reader
from cereal_methods.results.progress import BulkProgress
from cereal_methods.results.reader import chunks, read_progress, read_records
from tests.celery import app

from .bulks import store


def test_without_ids_nothing_is_read() -> None:
    assert read_records(None, []) == {}


def test_many_messages_are_read_in_parts() -> None:
    with mock.patch.object(reader, "_CHUNK", 2):
        parts = list(chunks([("a", 1), ("b", 2), ("c", 3)]))

    assert parts == [{"a": 1, "b": 2}, {"c": 3}]


def test_what_was_read_before_does_not_change() -> None:
    task_id = str(uuid.uuid4())
    before = BulkProgress(open={task_id: 1})
    store(task_id, "done")

    newer = read_progress(app.backend, before, [("another", 2)])

    assert newer.numbers == {"succeeded": 1}
    assert newer.open == {"another": 2}
    assert before == BulkProgress(open={task_id: 1})
