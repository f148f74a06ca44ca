"""When messages are marked as sent: at once, and many of a burst together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery.signals import task_postrun
from django.core.signals import request_finished
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test.utils import CaptureQueriesContext

from cereal_methods.records import marks
from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account

pytestmark = pytest.mark.django_db(transaction=True)


class Clock:
    """A clock that only the test sets."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(marks, "time", clock)
    return clock


@pytest.fixture
def account(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account whose methods this thread has not sent for a minute."""
    account = Account.objects.create(name="A")
    account.charge.delay(0)
    TaskRecord.objects.all().delete()
    monkeypatch.setattr(marks, "BURST", 0.1)
    clock.now += 60
    yield account
    marks.mark_all()


def test_the_first_message_is_marked_at_once(account: Account) -> None:
    account.charge.delay(1)
    assert states() == [State.SENT]


def test_messages_after_a_pause_are_marked_at_once(account: Account, clock: Clock) -> None:
    for amount in range(3):
        account.charge.delay(amount)
        clock.now += 0.2
    assert states() == [State.SENT] * 3


def test_many_messages_of_a_burst_are_marked_with_one_statement(account: Account) -> None:
    with CaptureQueriesContext(connection) as queries:
        for amount in range(1 + marks.MOST):
            with transaction.atomic():
                account.charge.delay(amount)
    assert updates(queries) == 2
    assert set(states()) == {State.SENT}


def test_a_burst_is_marked_after_a_quarter_of_a_second(account: Account, clock: Clock) -> None:
    for amount in range(5):
        account.charge.delay(amount)
        clock.now += 0.09
    assert states() == [State.SENT] * 5


def test_the_next_message_marks_the_end_of_a_burst(account: Account, clock: Clock) -> None:
    account.charge.delay(1)
    account.charge.delay(2)
    assert sorted(states()) == [State.SENT, State.WAITING]
    clock.now += 0.2
    account.charge.delay(3)
    assert states() == [State.SENT] * 3


@pytest.mark.parametrize("signal", [request_finished, task_postrun])
def test_the_end_of_a_request_or_task_marks_the_end_of_a_burst(
    account: Account, signal: Any
) -> None:
    account.charge.delay(1)
    account.charge.delay(2)
    signal.send(sender=None)
    assert states() == [State.SENT] * 2


def test_a_request_ends_with_the_marks_before_its_connection_is_closed(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the marks would need another connection."""
    account.charge.delay(1)
    account.charge.delay(2)
    closed: list[list[str]] = []
    monkeypatch.setattr(
        BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: closed.append(states())
    )
    request_finished.send(sender=None)
    assert closed[0] == [State.SENT] * 2


def test_marks_hold_no_lock_in_a_transaction(account: Account) -> None:
    account.charge.delay(1)
    account.charge.delay(2)
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        marks.mark_all()
    assert len(queries) == 0
    marks.mark_all()
    assert states() == [State.SENT] * 2


def test_marks_open_no_connection(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    account.charge.delay(1)
    account.charge.delay(2)
    monkeypatch.setattr(marks, "session_of", lambda connection: None)
    with CaptureQueriesContext(connection) as queries:
        marks.mark_all()
    assert len(queries) == 0


def test_marks_that_fail_are_logged(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The relay sends the message once more."""

    def fail(*args: Any) -> None:
        raise ConnectionError("the database has gone")

    monkeypatch.setattr(marks, "mark", fail)
    account.charge.delay(1)
    assert states() == [State.WAITING]
    assert "could not be marked as sent: the database has gone" in caplog.text


def states() -> list[str]:
    return list(TaskRecord.objects.values_list("state", flat=True))


def updates(queries: CaptureQueriesContext) -> int:
    return sum(query["sql"].startswith("UPDATE") for query in queries.captured_queries)
