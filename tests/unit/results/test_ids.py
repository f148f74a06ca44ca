"""The ids of a bulk's messages, rows and records: every version computes the same ones."""

from __future__ import annotations

import pytest

from cereal_methods.results.ids import (
    failure_record_id,
    message_id,
    progress_id,
    rest_id,
    row_id,
)

IDS = [
    "e0b4a381-e639-5ac0-a5ef-65b71e9b8d49",
    "10706fa3-007a-5997-a524-2239b9e42f1d",
    "1ae855fe-9c37-526e-b697-0f3937552b54",
    "41857afc-5d39-58e0-ba09-3b6b622b5cc1",
    "facff029-f5c3-5d46-b012-4a55b8f12ba0",
]
BULK = "0f9cbd43-3ad0-4a6f-b4fd-8f32b5a7f6a1"


@pytest.mark.parametrize("task_id", [BULK, "an id that the caller chose"])
def test_ids_differ_and_stay(task_id: str) -> None:
    ids = [
        message_id(task_id, 7),
        rest_id(task_id, 7),
        failure_record_id(task_id),
        progress_id(task_id),
    ]

    assert len({*ids}) == 4
    assert row_id(task_id, 7) == message_id(task_id, 7)
    assert message_id(task_id, 8) not in ids


def test_ids_are_those_of_earlier_versions() -> None:
    assert [
        message_id(BULK, 0),
        rest_id(BULK, 2),
        failure_record_id(BULK),
        progress_id(BULK),
        message_id("chosen", 0),
    ] == IDS
