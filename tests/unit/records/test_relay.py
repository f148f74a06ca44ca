"""The relay sends what is due, and leaves alone what is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from kombu.exceptions import OperationalError

from cereal_methods.records import marks, publishing, relay
from cereal_methods.records.claims import LEASE, claimed
from cereal_methods.records.models import State, TaskRecord
from cereal_methods.records.publishing import backoff
from cereal_methods.records.relay import Relay, resend
from tests.bank.models import Account
from tests.celery import app

from .messages import refusing, sent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def broker() -> Any:
    sent()
    yield
    backoff.stop()


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="A")


@pytest.fixture
def relay_of_default() -> Relay:
    return Relay(app, ["default"])


def waiting(account: Account, seconds: float = 0, amount: int = 1) -> TaskRecord:
    """Record a task whose sender has died. It is due in so many seconds."""
    result = account.charge.apply_async((amount,), countdown=3600)
    records = TaskRecord.objects.filter(pk=result.id)
    records.update(send_at=timezone.now() + timedelta(seconds=seconds))
    return records.get()


def test_an_idle_tick_is_one_query_that_writes_nothing(relay_of_default: Relay) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert relay_of_default.tick() == 0
    assert [query["sql"].split()[0] for query in queries.captured_queries] == ["SELECT"]


def test_what_is_due_is_sent_and_marked(account: Account, relay_of_default: Relay) -> None:
    record = waiting(account)
    assert relay_of_default.tick() == 1
    (message,) = sent()
    assert message.headers["id"] == record.pk
    assert message.headers["cereal_record"] == ["default", 0]
    record.refresh_from_db()
    assert (record.state, record.sent_at is not None) == (State.SENT, True)
    assert relay_of_default.tick() == 0


def test_what_is_not_due_waits(account: Account, relay_of_default: Relay) -> None:
    waiting(account, seconds=30)
    assert relay_of_default.tick() == 0


def test_more_than_a_chunk_is_sent_at_once(
    account: Account, relay_of_default: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_CHUNK_WITHOUT_BATCH", 3)
    for amount in range(8):
        waiting(account, amount=amount)
    assert relay_of_default.tick() == 8
    assert len(sent()) == 8


def test_a_claim_ends_with_its_lease(account: Account) -> None:
    """On a database without locks, a relay that dies leaves its records to the next one."""
    record = waiting(account)
    with pytest.raises(KeyboardInterrupt), claimed("default", 10) as claim:
        assert [each.id for each in claim.records] == [record.pk]
        raise KeyboardInterrupt  # as if the process had been killed
    with claimed("default", 10) as claim:
        assert claim.records == []
    TaskRecord.objects.update(send_at=F("send_at") - LEASE)
    with claimed("default", 10) as claim:
        assert [each.id for each in claim.records] == [record.pk]


def test_records_stay_due_if_the_broker_is_unavailable(
    account: Account,
    relay_of_default: Relay,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    record = waiting(account)
    with monkeypatch.context() as patch:
        patch.setattr(relay, "publish", _refuse)
        assert relay_of_default.tick() == 0
    assert "1 durable task could not be sent. A worker retries" in caplog.text
    assert relay_of_default.tick() == 0  # the relay waits before it tries again
    backoff.stop()
    assert relay_of_default.tick() == 1
    record.refresh_from_db()
    assert record.state == State.SENT


def test_the_record_of_an_unknown_task_waits_and_names_the_remedy(
    account: Account, relay_of_default: Relay
) -> None:
    record = waiting(account)
    TaskRecord.objects.update(task="bank.gone")
    assert relay_of_default.tick() == 0
    record.refresh_from_db()
    assert record.state == State.WAITING
    assert record.error.startswith("There is no task 'bank.gone' here. If its method was renamed")


def test_a_record_without_a_valid_message_does_not_hold_up_the_others(
    account: Account, relay_of_default: Relay
) -> None:
    broken, empty, good = (waiting(account) for _ in range(3))
    TaskRecord.objects.filter(pk=broken.pk).update(envelope="[1, 2")
    TaskRecord.objects.filter(pk=empty.pk).update(envelope="")
    assert relay_of_default.tick() == 1
    assert [message.headers["id"] for message in sent()] == [good.pk]
    for record in (broken, empty):
        record.refresh_from_db()
        assert record.state == State.WAITING
        assert record.error.startswith("The message of this record cannot be read: ")
    good.refresh_from_db()
    assert (good.state, good.error) == (State.SENT, "")


def test_the_index_of_all_records_finds_those_that_are_due() -> None:
    with connection.cursor() as cursor:
        due = TaskRecord.objects.waiting().filter(send_at__lte=timezone.now()).order_by("send_at")
        plan = due.explain()
        cursor.execute("PRAGMA index_info(cereal_records_due)")
        columns = [name for *_, name in cursor.fetchall()]
    assert "SEARCH cereal_records_taskrecord USING INDEX cereal_records_due" in plan
    assert columns == ["state", "send_at"]


def test_what_a_broker_has_lost_is_sent_again(account: Account, relay_of_default: Relay) -> None:
    account.charge.delay(1)
    assert len(sent()) == 1
    assert resend("default", timedelta(seconds=60)) == 0
    TaskRecord.objects.update(sent_at=timezone.now() - timedelta(seconds=61))
    assert resend("default", timedelta(seconds=60)) == 1
    assert relay_of_default.tick() == 1
    assert len(sent()) == 1


def test_a_done_task_that_keeps_its_message_is_sent_again(account: Account) -> None:
    """What follows it may not be sent. It stays done, so that its method does not run again."""
    records = [waiting(account, 3600) for _ in range(4)]
    now = timezone.now()
    done = TaskRecord.objects.filter(pk__in=[record.pk for record in records[:3]])
    done.update(state=State.DONE, ended_at=now - timedelta(seconds=61), turn=2)
    done.filter(pk=records[1].pk).update(ended_at=now)
    done.filter(pk=records[2].pk).update(envelope="")
    assert resend("default", timedelta(seconds=60)) == 1
    (message,) = sent()
    assert message.headers["id"] == records[0].pk
    assert message.headers["cereal_record"] == ["default", 2]
    assert set(done.values_list("state", flat=True)) == {State.DONE}


def test_resending_done_tasks_stops_if_the_broker_is_unavailable(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waiting(account, 3600)
    long_ago = timezone.now() - timedelta(seconds=61)
    TaskRecord.objects.update(state=State.DONE, ended_at=long_ago)
    with monkeypatch.context() as patch:
        patch.setattr(relay, "publish", _refuse)
        assert resend("default", timedelta(seconds=60)) == 0
    assert "1 durable task could not be sent" in caplog.text
    TaskRecord.objects.update(envelope="[1, 2")
    assert resend("default", timedelta(seconds=60)) == 0


def test_a_message_that_is_refused_does_not_hold_up_the_others(
    account: Account, relay_of_default: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option may be invalid that the broker's client reads when it publishes."""
    refused, *others = [waiting(account, seconds=-10 + place) for place in range(3)]
    monkeypatch.setattr(relay, "publish", refusing(refused.pk))
    assert relay_of_default.tick() == 2
    assert {message.headers["id"] for message in sent()} == {each.pk for each in others}
    refused.refresh_from_db()
    assert refused.state == State.WAITING
    assert refused.error.startswith("The message was refused: ")
    assert refused.send_at > timezone.now() + timedelta(seconds=50)


def test_refused_messages_with_one_reason_are_logged_once(
    account: Account,
    relay_of_default: Relay,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A full Redis refuses all of them."""
    for _ in range(3):
        waiting(account)

    def refuse(*args: Any) -> None:
        raise ValueError("out of memory")

    monkeypatch.setattr(relay, "publish", refuse)
    assert relay_of_default.tick() == 0
    assert "3 durable tasks cannot be sent" in caplog.text
    assert TaskRecord.objects.waiting().filter(error__contains="out of memory").count() == 3


def test_all_messages_wait_if_the_broker_goes_as_they_are_sent_one_by_one(
    account: Account, relay_of_default: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [waiting(account) for _ in range(2)]
    errors = iter([ValueError("invalid"), ConnectionRefusedError("nobody there")])

    def refuse(*args: Any) -> None:
        raise next(errors)

    monkeypatch.setattr(relay, "publish", refuse)
    assert relay_of_default.tick() == 0
    assert list(errors) == []
    assert backoff.is_active()
    for record in records:
        record.refresh_from_db()
        assert (record.state, record.error) == (State.WAITING, "")


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (ValueError("invalid"), True),
        (OSError("reset"), False),
        (OperationalError("away"), False),
    ],
)
def test_a_refusal_is_told_from_an_unavailable_broker(error: Exception, is_one: bool) -> None:
    assert publishing.is_refusal(app, error) is is_one


def test_a_broker_that_lets_nobody_in_has_refused_no_message() -> None:
    nobody = Celery(broker="pyamqp://127.0.0.1:1//", set_as_current=False)
    assert not publishing.is_refusal(nobody, ValueError("invalid"))


def test_a_mark_that_comes_late_marks_no_later_turn(account: Account) -> None:
    """A task that waits for its retry is not marked by the sender of its first message."""
    record = waiting(account)
    TaskRecord.objects.update(turn=1)
    marks.mark("default", [record.pk], 0)
    record.refresh_from_db()
    assert record.state == State.WAITING


def test_a_database_without_the_table_is_reported_once(
    relay_of_default: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    table = TaskRecord._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    try:
        assert relay_of_default.tick() == 0
        assert relay_of_default.tick() == 0
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    assert caplog.text.count("Run migrate --database default") == 1


def test_overdue_records_are_logged(
    account: Account,
    relay_of_default: Relay,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    waiting(account, seconds=-61)
    monkeypatch.setattr(relay, "publish", _refuse)
    relay_of_default.tick()
    TaskRecord.objects.update(send_at=timezone.now() - timedelta(seconds=61))
    relay_of_default._checked_at -= 61
    relay_of_default.tick()
    assert "1 durable task of the database 'default' should have been sent" in caplog.text


def _refuse(*args: Any) -> None:
    raise ConnectionRefusedError("nobody there")
