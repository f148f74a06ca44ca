"""Records are found, canceled, retried and purged, one or many."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cereal_methods.records import querysets
from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account

pytestmark = pytest.mark.django_db(transaction=True)


def record(state: str, **values: object) -> TaskRecord:
    values = {"envelope": "[]", "task": "bank.charge", **values}
    return TaskRecord.objects.create(
        pk=f"{state}-{TaskRecord.objects.count()}", state=state, **values
    )


def test_states_have_querysets() -> None:
    for state in State.values:
        record(state)
    for state in State.values:
        assert [each.state for each in getattr(TaskRecord.objects, state)()] == [state]
    assert TaskRecord.objects.ended().count() == 4


def test_a_rows_tasks_are_found() -> None:
    first, second = Account.objects.create(), Account.objects.create()
    results = [first.charge.delay(1), first.add.delay(1, 2)]
    second.charge.delay(1)
    found = TaskRecord.objects.for_instance(first)
    assert {each.pk for each in found} == {result.id for result in results}


def test_what_waits_unsent_is_found() -> None:
    late = record("waiting", send_at=timezone.now() - timedelta(seconds=90))
    record("waiting")
    record("sent", send_at=timezone.now() - timedelta(seconds=90))
    assert list(TaskRecord.objects.unsent()) == [late]


@pytest.mark.parametrize("state", ["waiting", "sent"])
def test_what_has_not_begun_can_be_canceled(state: str) -> None:
    found = record(state)
    assert found.cancel()
    assert (found.state, found.error) == (State.CANCELED, "Canceled.")
    assert not found.cancel()


@pytest.mark.parametrize("state", ["running", "done", "failed", "expired"])
def test_what_has_begun_or_ended_cannot_be_canceled(state: str) -> None:
    found = record(state)
    assert not found.cancel()
    assert found.state == state


@pytest.mark.parametrize("state", ["failed", "canceled", "expired"])
def test_what_has_not_succeeded_can_be_retried(state: str) -> None:
    found = record(state, error="X", traceback="Y", ended_at=timezone.now(), crashes=5)
    assert found.retry()
    assert (found.state, found.error, found.traceback, found.ended_at, found.crashes) == (
        State.WAITING,
        "",
        "",
        None,
        0,
    )
    assert found.turn == 1


@pytest.mark.parametrize("state", ["waiting", "sent", "running", "done"])
def test_what_goes_on_or_has_succeeded_cannot_be_retried(state: str) -> None:
    assert not record(state).retry()


def test_a_retry_may_be_for_later() -> None:
    found, later = record("failed"), timezone.now() + timedelta(hours=1)
    assert found.retry(at=later)
    assert found.send_at == later


def test_what_came_without_a_record_has_no_message_to_retry() -> None:
    assert not record("failed", envelope="").retry()


def test_many_are_canceled_and_retried_at_once() -> None:
    for state in ("waiting", "sent", "done", "failed"):
        record(state)
    assert TaskRecord.objects.cancel() == 2
    assert TaskRecord.objects.retry() == 3


def test_what_is_done_is_purged_and_what_has_failed_stays() -> None:
    old = timezone.now() - timedelta(days=8)
    for state in State.values:
        record(state, ended_at=old)
    record("done", ended_at=timezone.now())
    assert TaskRecord.objects.all().purge(timedelta(days=7)) == 3
    states = sorted(each.state for each in TaskRecord.objects.all())
    assert states == ["done", "failed", "running", "sent", "waiting"]


def test_a_purge_deletes_all_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querysets, "_CHUNK", 2)
    old = timezone.now() - timedelta(days=8)
    for _ in range(7):
        record("done", ended_at=old)
    kept = record("done", ended_at=timezone.now())
    with CaptureQueriesContext(connection) as queries:
        assert TaskRecord.objects.all().purge(timedelta(days=7)) == 7
    assert TaskRecord.objects.get() == kept
    verbs = [query["sql"].split()[0] for query in queries.captured_queries]
    assert verbs.count("SELECT") == 5


def test_a_record_says_what_it_is() -> None:
    assert repr(record("failed")) == "<TaskRecord bank.charge[failed-0] failed>"
    assert record("done").has_ended
    assert record("waiting").age < timedelta(seconds=30)
