"""Records of durable tasks that PostgreSQL inserts with one statement."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cereal_methods.records.inserting import NewRecord, insert
from cereal_methods.records.models import TaskRecord

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timezone.now()
RECORD = NewRecord(
    "an id", "a.task", NOW, NOW, None, "waiting", "bank.Account", "1", 0, "{}", b"\0"
)


def stored() -> list[NewRecord]:
    names = [field.name for field in fields(NewRecord)]
    rows = TaskRecord.objects.order_by("id").values_list(*names)
    return [NewRecord(*row[:-1], bytes(row[-1])) for row in rows]


def records() -> list[NewRecord]:
    """Return records that differ in every column."""
    return [
        RECORD,
        replace(
            RECORD, id="b", row='it\'s 100% \\ "\N{SNOWMAN}"', body=b"", envelope='["\\u001f"]'
        ),
        replace(RECORD, id="c", row="", model="", expires_at=NOW, turn=3, state="sent"),
        replace(RECORD, id="d", task="b", created_at=NOW - timedelta(3), body=bytes(range(256))),
        replace(RECORD, id="e", send_at=NOW + timedelta(3)),
    ]


@pytest.mark.parametrize("number", [1, 2, 5])
def test_records_are_inserted_as_they_are(number: int) -> None:
    new = records()[:number]
    with CaptureQueriesContext(connection) as queries:
        insert("default", new)
    assert len(queries) == 1
    assert list(map(astuple, stored())) == list(map(astuple, new))


def test_a_separator_in_a_value_separates_nothing() -> None:
    new = [RECORD, replace(RECORD, id="b", row="1\x1f2")]
    insert("default", new)
    assert stored() == new


def test_a_record_that_is_there_stays() -> None:
    insert("default", [RECORD])
    insert("default", [replace(RECORD, row="2"), replace(RECORD, id="b")])
    assert stored() == [RECORD, replace(RECORD, id="b")]
