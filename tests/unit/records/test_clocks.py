"""Clocks that are wrong, or jump: tasks are early or late, and none is lost or runs twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from cereal_methods.records import outboxes, relay
from cereal_methods.records.claims import LEASE
from cereal_methods.records.models import State, TaskRecord
from cereal_methods.records.publishing import backoff
from cereal_methods.records.relay import Relay, resend
from tests.bank.models import Account
from tests.celery import app

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)

real_now = timezone.now


@contextmanager
def clock(ahead: timedelta) -> Iterator[None]:
    """Let the clock of a block be ahead, or behind."""
    with mock.patch.object(timezone, "now", side_effect=lambda: real_now() + ahead):
        yield


@pytest.fixture
def account() -> Iterator[Account]:
    yield Account.objects.create(name="A")
    backoff.stop()


@pytest.fixture
def broker_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no process send what it has recorded."""
    monkeypatch.setattr(outboxes, "send", lambda *args: None)


def tick() -> int:
    return Relay(app, ["default"]).tick()


def test_a_sender_whose_clock_is_ahead_sends_at_once(
    account: Account, sent: Callable[[], list[Any]]
) -> None:
    with clock(HOUR):
        account.charge.delay(1)
    assert len(sent()) == 1


def test_what_such_a_sender_could_not_send_waits_for_its_time(
    account: Account, sent: Callable[[], list[Any]], broker_away: None
) -> None:
    with clock(HOUR):
        account.charge.delay(1)
    assert tick() == 0
    with clock(HOUR + timedelta(seconds=2)):
        assert tick() == 1
    assert len(sent()) == 1


def test_what_waits_for_a_wrong_time_can_be_made_due(account: Account, broker_away: None) -> None:
    with clock(HOUR):
        account.charge.delay(1)
    assert TaskRecord.objects.waiting().update(send_at=timezone.now()) == 1
    assert tick() == 1


def test_a_sender_whose_clock_is_behind_is_served_at_once(
    account: Account, broker_away: None
) -> None:
    with clock(-HOUR):
        account.charge.apply_async((1,), countdown=600)
    assert tick() == 1


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_relays_whose_clocks_differ_send_a_task_once(
    account: Account, sent: Callable[[], list[Any]], ahead: timedelta
) -> None:
    account.charge.apply_async((1,), countdown=600)
    numbers = []
    for differs in (ahead, -ahead, ahead, -ahead):
        with clock(differs):
            numbers.append(tick())
    assert sorted(numbers) == [0, 0, 0, 1]
    assert len(sent()) == 1


def test_a_lease_of_a_relay_that_died_with_its_clock_ahead_ends(
    account: Account, monkeypatch: pytest.MonkeyPatch, broker_away: None
) -> None:
    """On databases other than PostgreSQL, where the record is claimed for a while."""
    account.charge.delay(1)
    with clock(HOUR), monkeypatch.context() as patch:
        patch.setattr(relay, "publish", mock.Mock(side_effect=SystemExit))
        with pytest.raises(SystemExit):
            tick()
    assert TaskRecord.objects.get().state == State.WAITING
    with clock(timedelta(seconds=2)):
        assert tick() == 0
    with clock(HOUR + LEASE):
        assert tick() == 1


def test_what_was_sent_in_the_future_is_sent_again_later(account: Account) -> None:
    """A broker has lost it, and ``resend`` goes by when it was sent."""
    with clock(HOUR):
        account.charge.delay(1)
    assert resend("default", timedelta(seconds=60)) == 0
    assert resend("default", -HOUR) == 1


def test_a_method_that_is_seen_running_is_not_sent_again_too_soon(account: Account) -> None:
    """A database without locks of sessions cannot tell that its worker is alive."""
    result = account.pay.delay(1)
    records = TaskRecord.objects.filter(pk=result.id)
    records.update(
        state=State.RUNNING,
        sent_at=real_now() - HOUR,
        started_at=real_now() - timedelta(seconds=30),
    )
    assert resend("default", timedelta(seconds=60)) == 0
    assert resend("default", timedelta(seconds=10)) == 1


def test_a_task_that_expired_by_a_wrong_clock_can_be_retried(account: Account) -> None:
    result = account.charge.apply_async((1,), expires=60)
    TaskRecord.objects.filter(pk=result.id).update(state=State.EXPIRED)
    assert TaskRecord.objects.expired().retry() == 1
    record = TaskRecord.objects.get(pk=result.id)
    assert (record.state, record.expires_at) == (State.WAITING, None)
