"""What follows a durable task is sent, even if its worker and the broker have lost it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from celery import chain
from celery.canvas import Signature
from django.db import DatabaseError
from django.utils import timezone

from cereal_methods.records import following
from cereal_methods.records.models import TaskRecord
from cereal_methods.records.relay import resend
from cereal_methods.results.messages import CRASHES
from tests.bank.models import Account

from ..sending.messages import trace
from .messages import sent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account() -> Account:
    account = Account.objects.create()
    sent()
    return account


def run_without_following(message: Any) -> None:
    """Run a message's task in a worker that dies when it has committed."""
    died = mock.patch.object(Signature, "apply_async", side_effect=SystemExit)
    with died, pytest.raises(SystemExit):
        trace(message)


def record_of(message: Any) -> TaskRecord:
    return TaskRecord.objects.get(pk=message.headers["id"])


def forget_when(record: TaskRecord) -> None:
    """Let a task have ended two minutes ago."""
    ended_at = timezone.now() - timedelta(minutes=2)
    TaskRecord.objects.filter(pk=record.pk).update(ended_at=ended_at)


def test_the_next_step_of_a_chain_is_sent_after_all(account: Account) -> None:
    chain(account.charge.s(1), account.add.s(10)).delay()
    (first,) = sent()
    run_without_following(first)
    record = record_of(first)
    assert (record.state, bool(record.envelope), sent()) == ("done", True, [])
    forget_when(record)

    assert resend("default", timedelta(seconds=60)) == 1

    (again,) = sent()
    assert again.headers["id"] == first.headers["id"]
    trace(again)
    (following_message,) = sent()
    assert trace(following_message).retval == 11
    account.refresh_from_db()
    assert [record_of(each).envelope for each in (first, following_message)] == ["", ""]
    assert record_of(first).attempts == 1


def test_a_task_that_has_just_ended_is_not_sent_again(account: Account) -> None:
    chain(account.charge.s(1), account.add.s(10)).delay()
    run_without_following(sent()[0])

    assert resend("default", timedelta(seconds=60)) == 0


@pytest.mark.parametrize("with_link", [False, True])
def test_a_task_that_is_not_followed_drops_its_message_as_it_ends(
    with_link: bool, account: Account
) -> None:
    account.charge.apply_async((1,), link=account.add.s(10) if with_link else None)
    (message,) = sent()

    with mock.patch.object(following, "drop_message") as drop_message:
        trace(message)

    assert drop_message.called is with_link
    assert bool(record_of(message).envelope) is with_link


def test_a_duplicate_whose_result_is_stored_drops_the_message(account: Account) -> None:
    account.charge.apply_async((1,), link=account.add.s(10))
    (message,) = sent()
    with mock.patch.object(following, "drop_message"):
        trace(message)
    assert record_of(message).envelope

    trace(message)

    assert not record_of(message).envelope


def test_a_database_that_fails_then_leaves_the_message(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    account.charge.apply_async((1,), link=account.add.s(10))
    (message,) = sent()

    with mock.patch.object(following, "change", side_effect=DatabaseError("gone")):
        assert trace(message).retval == 1

    assert record_of(message).envelope
    assert "keeps its message: gone" in caplog.text


@pytest.mark.parametrize("place", [None, ["elsewhere", 0], "default"])
def test_a_message_that_does_not_name_a_record_is_ignored(place: Any) -> None:
    request = mock.Mock(id="1", cereal_record=place)

    following.drop_message(request)  # no query: there is no such database


def test_a_retry_waits_although_its_first_message_comes_again(account: Account) -> None:
    """The worker died after it had recorded the retry, before it acknowledged the message."""
    account.insist.delay(5, 1, 60)
    (message,) = sent()
    trace(message)
    assert record_of(message).state == "waiting"

    message.headers[CRASHES] = 1
    trace(message)

    record = record_of(message)
    assert (record.state, record.turn, record.crashes) == ("waiting", 1, 0)


def test_a_task_that_ran_before_it_was_marked_as_sent_is_sent_again(account: Account) -> None:
    account.charge.delay(1)
    (message,) = sent()
    long_ago = timezone.now() - timedelta(minutes=2)
    TaskRecord.objects.update(state="running", sent_at=None, started_at=long_ago)

    assert resend("default", timedelta(seconds=60)) == 1
    assert record_of(message).state == "waiting"
