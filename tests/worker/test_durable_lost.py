"""Durable tasks whose connection is lost or blocked, and errors that are hard to record."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from kombu import uuid

from cereal_methods.records.models import State, TaskRecord
from cereal_methods.records.taking import key_of
from tests.bank.models import Account

from .bank import RELAY, SECONDS, again, amounts, ended
from .workers import Worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    found = start_worker("--pool=prefork", "--concurrency=2", **RELAY)
    yield found
    found.__exit__()


def test_an_error_that_is_no_unicode_is_recorded(worker: Worker) -> None:
    result = Account.objects.create().reject_file.delay()
    assert ended(result.id, State.FAILED).error == "ValueError: caf\\udce9"


def test_a_connection_that_is_lost_in_the_commit_runs_the_task_again(worker: Worker) -> None:
    account = Account.objects.create(name="lose")
    result = account.settle.delay(7)
    assert result.get(timeout=SECONDS) == 7
    assert amounts(account) == [7]


def test_a_soft_time_limit_in_a_query_fails_a_task_without_a_transaction(worker: Worker) -> None:
    """It leaves a connection that cannot be used, which is no reason to run the task again."""
    account = Account.objects.create(name="query 5")
    result = account.settle_alone.apply_async((1,), soft_time_limit=1)
    assert ended(result.id, State.FAILED).error == "SoftTimeLimitExceeded: SoftTimeLimitExceeded()"


@pytest.mark.parametrize("method", ["charge", "pay"])
def test_a_returned_message_waits_for_the_lock_of_a_lost_session(
    worker: Worker, method: str
) -> None:
    """The server may hold it for some time after the worker has lost its connection."""
    account, task_id = Account.objects.create(), uuid()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [key_of(task_id)])
        again(task_id, method, account, (1,), {"cereal_returned": True})
        worker.wait_for(
            lambda: worker.log.read_text().count(f"[{task_id}] fetches its rows again") > 1,
            "the message to come back",
        )
        assert not TaskRecord.objects.filter(pk=task_id).exists()
        cursor.execute("SELECT pg_advisory_unlock(%s)", [key_of(task_id)])
    ended(task_id)
    assert amounts(account) == [1]
