"""Durable methods in users' tests: recorded without a table, and run by the recorder."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

from cereal_methods.records.models import TaskRecord
from cereal_methods.testing import record_tasks
from tests.bank.models import Account

from .messages import sent


@pytest.fixture
def account() -> Account:
    return Account.objects.create()


@pytest.mark.django_db(transaction=True)
def test_the_recorder_takes_durable_tasks_without_a_record(account: Account) -> None:
    with record_tasks() as tasks:
        account.charge.delay(5)
    tasks.assert_sent(account.charge, 5)
    assert not TaskRecord.objects.exists()


@pytest.mark.django_db
def test_the_recorder_runs_durable_tasks(account: Account) -> None:
    with record_tasks() as tasks:
        (account.charge.s(5) | account.add.s(1)).delay()
        tasks.run()
    assert sorted(account.entries.values_list("amount", flat=True)) == [5, 6]
    assert not TaskRecord.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_recorder_takes_what_commits_only(account: Account) -> None:
    with record_tasks() as tasks:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            account.charge.delay(5)
            raise ZeroDivisionError
        account.charge.delay(6)
    assert len(tasks) == 1


class CaptureTests(TestCase):
    """Django's own test case, whose transaction is rolled back."""

    def test_messages_are_sent_by_captured_callbacks(self) -> None:
        """Those of the block alone, and those that its callbacks send."""
        sent()
        account = Account.objects.create()
        account.charge.delay(1)
        with self.captureOnCommitCallbacks(execute=True):
            second = account.charge.delay(2)
            transaction.on_commit(lambda: third.append(account.charge.delay(3)))
            third: list[Any] = []
            fourth = account.charge.delay(4)
        found = [message.headers["id"] for message in sent()]
        assert found == [second.id, fourth.id, third[0].id]


@pytest.mark.django_db(transaction=True)
def test_apply_needs_no_record(account: Account) -> None:
    assert account.charge.apply((5,)).get() == 5
    assert not TaskRecord.objects.exists()
