"""What is recorded as a durable task is sent, and what that costs."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cereal_methods import apply_on_commit
from cereal_methods.exceptions import InvalidModelTask
from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account
from tests.celery import app

from .messages import refusing, sent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def account() -> Account:
    sent()
    return Account.objects.create(name="A")


def test_a_call_is_recorded_sent_and_marked_as_sent(account: Account) -> None:
    """In autocommit the record commits by itself."""
    result = account.charge.delay(250)
    record = TaskRecord.objects.get(pk=result.id)
    assert (record.state, record.task) == (State.SENT, "tests.bank.models.Account.charge")
    assert (record.model, record.row) == ("bank.Account", str(account.pk))
    assert [message.headers["id"] for message in sent()] == [result.id]


def test_a_call_costs_an_insert_and_an_update(account: Account) -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        account.charge.delay(250)
    assert verbs(queries) == ["BEGIN", "INSERT", "COMMIT", "UPDATE"]


def test_many_calls_of_a_transaction_are_sent_in_one_trip(account: Account) -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        for amount in range(20):
            account.charge.delay(amount)
        assert sent() == []
    assert verbs(queries) == ["BEGIN", *["INSERT"] * 20, "COMMIT", "UPDATE"]
    assert len(sent()) == 20
    assert TaskRecord.objects.sent().count() == 20


def test_what_is_rolled_back_is_neither_recorded_nor_sent(account: Account) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        account.charge.delay(1)
        raise ZeroDivisionError
    account.charge.delay(2)
    assert TaskRecord.objects.count() == 1
    assert len(sent()) == 1


def test_what_a_savepoint_rolls_back_is_not_sent(account: Account) -> None:
    with transaction.atomic():
        kept = [account.charge.delay(1).id]
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            account.charge.delay(2)
            raise ZeroDivisionError
        kept.append(account.charge.delay(3).id)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            account.charge.delay(4)
            raise ZeroDivisionError
    assert [message.headers["id"] for message in sent()] == kept
    assert set(TaskRecord.objects.values_list("pk", flat=True)) == set(kept)


def test_a_countdown_waits_in_the_table(account: Account) -> None:
    account.charge.apply_async((1,), countdown=60)
    record = TaskRecord.objects.get()
    assert sent() == []
    assert record.state == State.WAITING
    assert datetime.timedelta(seconds=58) < record.send_at - timezone.now()
    assert '"eta":null' in record.envelope


def test_an_expiry_is_the_records_and_not_the_brokers(account: Account) -> None:
    account.charge.apply_async((1,), expires=60)
    record = TaskRecord.objects.get()
    assert record.expires_at is not None
    (message,) = sent()
    assert message.headers["expires"] is None
    assert "expiration" not in message.properties


def test_an_argument_that_cannot_be_encoded_records_nothing(account: Account) -> None:
    charge: Any = account.charge
    with pytest.raises(Exception, match="lock"):
        charge.delay(__import__("threading").Lock())
    assert not TaskRecord.objects.exists()


def test_the_same_task_id_is_the_same_task(account: Account) -> None:
    for amount in (1, 2):
        account.charge.apply_async((amount,), task_id="the-same")
    assert TaskRecord.objects.count() == 1


def test_the_broker_may_be_away(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from cereal_methods.records import outboxes

    def refuse(*args: Any) -> None:
        raise ConnectionRefusedError("no broker")

    monkeypatch.setattr(outboxes, "publish", refuse)
    result = account.charge.delay(1)
    assert TaskRecord.objects.get(pk=result.id).state == State.WAITING
    assert "1 durable task could not be sent" in caplog.text
    outboxes.backoff.stop()


def test_a_refused_message_does_not_delay_others(
    account: Account, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cereal_methods.records import outboxes

    monkeypatch.setattr(outboxes, "publish", refusing("refused"))
    refused = account.charge.apply_async((1,), task_id="refused")
    assert "One of 1 durable tasks was refused" in caplog.text
    result = account.charge.delay(2)
    assert TaskRecord.objects.get(pk=refused.id).state == State.WAITING
    assert [message.headers["id"] for message in sent()] == [result.id]


def test_a_bulk_is_recorded_with_one_statement(account: Account) -> None:
    accounts = [account, *(Account.objects.create() for _ in range(9))]
    with CaptureQueriesContext(connection) as queries:
        result = Account.charge.bulk_delay(accounts, 5)
    assert verbs(queries) == ["BEGIN", "INSERT", "COMMIT", "UPDATE"]
    assert len(result) == 10
    assert len(sent()) == 10


def test_eager_tasks_need_no_record(account: Account, settings: Any) -> None:
    app.conf.task_always_eager = True
    try:
        assert account.charge.delay(7).get() == 7
    finally:
        app.conf.task_always_eager = False
    assert not TaskRecord.objects.exists()
    assert account.entries.count() == 1


def verbs(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"].split()[0] for query in queries.captured_queries]


@pytest.mark.parametrize("send", ["delay_on_commit", "chain", "bulk"])
def test_on_commit_records_in_the_transaction(account: Account, send: str) -> None:
    """Sending on commit is what a durable task does anyway."""
    with transaction.atomic():
        if send == "chain":
            apply_on_commit(account.charge.s(1) | account.add.s(2))
        elif send == "bulk":
            Account.charge.bulk_delay_on_commit([account], 1)
        else:
            account.charge.delay_on_commit(1)
        assert TaskRecord.objects.count() == 1
        assert sent() == []
    assert len(sent()) == 1


def test_a_batch_has_one_record(account: Account) -> None:
    accounts = [account, *(Account.objects.create() for _ in range(4))]
    Account.charge.bulk_apply_async(accounts, (1,), batch_size=3)
    records = TaskRecord.objects.order_by("created_at")
    assert [(record.model, record.row) for record in records] == [("bank.Account", "")] * 2
    assert not TaskRecord.objects.for_instance(account).exists()
    assert len(sent()) == 2


@pytest.mark.parametrize("way", ["map", "starmap", "chunks"])
def test_many_calls_in_one_task_are_refused(account: Account, way: str) -> None:
    with pytest.raises(InvalidModelTask) as caught:
        getattr(account.charge, way)([(1,)], *([1] if way == "chunks" else []))
    assert str(caught.value) == (
        "tests.bank.models.Account.charge is durable, and has a record of each call; map, starmap "
        "and chunks make many calls in one task. Send a group of its signatures instead."
    )


def test_a_canvas_with_a_plain_first_task_waits_for_the_commit(account: Account) -> None:
    with transaction.atomic():
        apply_on_commit(account.plain.s(1) | account.add.s(2))
        assert TaskRecord.objects.count() == 0
    assert len(sent()) == 1
