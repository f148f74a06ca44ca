"""Durable tasks for rows of two databases: a record commits with its row, where the row is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import chain, chord, group
from django.db import connection, transaction

from cereal_methods.records.locks import RunLock
from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account, Entry

from .bank import RELAY, SECONDS, amounts, ended
from .workers import Worker

#: Their rows are on several databases.
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

DATABASES = ("default", "archive")


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker whose relay serves both databases."""
    found = start_worker("--pool=prefork", "--concurrency=2", **RELAY)
    yield found
    found.__exit__()


@pytest.fixture
def here() -> Account:
    return Account.objects.create(name="here")


@pytest.fixture
def there(here: Account) -> Account:
    # Not under the key of the other: a mistaken database would not be noticed.
    return Account.objects.using("archive").create(pk=here.pk + 1000, name="there")


def records_on(using: str) -> set[str]:
    return set(TaskRecord.objects.using(using).values_list("pk", flat=True))


def test_a_record_is_on_the_database_of_its_row(
    worker: Worker, here: Account, there: Account
) -> None:
    near, far = here.charge.delay(1), there.charge.delay(2)
    assert (near.get(timeout=SECONDS), far.get(timeout=SECONDS)) == (1, 2)
    assert (records_on("default"), records_on("archive")) == ({near.id}, {far.id})
    assert ended(far.id, using="archive").row == str(there.pk)
    assert (amounts(here), amounts(there)) == ([1], [2])
    assert list(Entry.objects.using("archive").values_list("amount", flat=True)) == [2]


@pytest.mark.parametrize("rolled_back", DATABASES)
def test_a_rollback_on_one_database_leaves_the_tasks_of_the_other(
    worker: Worker, here: Account, there: Account, rolled_back: str
) -> None:
    results = {}
    with transaction.atomic("default"), transaction.atomic("archive"):
        results["default"] = here.charge.delay(3)
        results["archive"] = there.charge.delay(4)
        transaction.set_rollback(True, using=rolled_back)
    (kept,) = set(DATABASES) - {rolled_back}
    assert results[kept].get(timeout=SECONDS) in (3, 4)
    assert records_on(kept) == {results[kept].id}
    assert records_on(rolled_back) == set()
    assert (amounts(here), amounts(there)) == (([3], []) if kept == "default" else ([], [4]))


def test_nothing_is_sent_before_its_own_database_commits(
    worker: Worker, here: Account, there: Account
) -> None:
    with transaction.atomic("archive"):
        with transaction.atomic("default"):
            near = here.charge.delay(5)
            far = there.charge.delay(6)
        assert near.get(timeout=SECONDS) == 5
        assert amounts(there) == []
    assert far.get(timeout=SECONDS) == 6


def test_a_chain_goes_over_rows_of_both(worker: Worker, here: Account, there: Account) -> None:
    steps = chain(here.charge.s(1), there.add.s(10), here.add.s(100), there.add.s(1000))
    assert steps.delay().get(timeout=SECONDS) == 1111
    assert (amounts(here), amounts(there)) == ([1, 111], [11, 1111])
    assert [len(records_on(using)) for using in DATABASES] == [2, 2]


def test_a_chord_goes_over_rows_of_both(worker: Worker, here: Account, there: Account) -> None:
    result = chord(group(here.charge.s(1), there.charge.s(2)), there.collect.s()).delay()
    assert result.get(timeout=SECONDS) == 3
    assert (amounts(here), amounts(there)) == ([1], [2, 3])


def test_a_bulk_has_its_records_on_the_database_of_its_rows(worker: Worker, there: Account) -> None:
    result = Account.charge.bulk_delay(Account.objects.using("archive"), 7)
    assert result.get(timeout=SECONDS) == [7]
    assert [len(records_on(using)) for using in DATABASES] == [0, 1]


def test_the_relay_serves_both(worker: Worker, here: Account, there: Account) -> None:
    near = here.charge.apply_async((8,), countdown=1)
    far = there.charge.apply_async((9,), countdown=1)
    assert (near.get(timeout=SECONDS), far.get(timeout=SECONDS)) == (8, 9)


def test_a_retry_waits_on_the_database_of_its_row(worker: Worker, there: Account) -> None:
    result = there.insist.delay(4, 1, countdown=1)
    assert ended(result.id, State.WAITING, using="archive").turn == 1
    assert result.get(timeout=SECONDS) == 4
    assert amounts(there) == [4]
    assert records_on("default") == set()


def test_a_failure_is_recorded_where_its_row_is(worker: Worker, there: Account) -> None:
    result = there.reject.delay(5)
    record = ended(result.id, State.FAILED, using="archive")
    assert record.error == "ValueError: 5 is too much."
    assert TaskRecord.objects.for_instance(there).retry() == 1
    assert ended(result.id, State.FAILED, using="archive").turn == 1
    assert amounts(there) == []


def test_a_lock_that_a_pooler_has_lost_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    delivery: Any = SimpleNamespace(using="default", id="1")
    with RunLock(delivery) as lock, connection.cursor() as cursor:
        assert lock.acquire()
        cursor.execute("SELECT pg_advisory_unlock_all()")
    assert "sessions of the database 'default' are shared" in caplog.text


def test_a_database_behind_a_pooler_has_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    delivery: Any = SimpleNamespace(using="default", id="1")
    with RunLock(delivery) as lock:
        assert (lock.acquire(), lock.holds) == (True, False)
