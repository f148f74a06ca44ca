"""The relay on PostgreSQL: its locks, its queries and their plans."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cereal_methods.records import claims, marks, relay, taking
from cereal_methods.records.claims import claimed
from cereal_methods.records.deliveries import Delivery
from cereal_methods.records.models import State, TaskRecord
from cereal_methods.records.publishing import CHUNK, backoff
from cereal_methods.records.relay import Relay
from tests.bank.models import Account
from tests.celery import app

TABLE = TaskRecord._meta.db_table


@pytest.fixture(autouse=True)
def queue(nowhere: str) -> Iterator[str]:
    if connection.vendor != "postgresql":
        pytest.skip("MariaDB has neither these locks nor these plans.")
    before, app.conf.task_default_queue = app.conf.task_default_queue, nowhere
    yield nowhere
    app.conf.task_default_queue = before
    backoff.stop()


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="A")


def due(account: Account, number: int = 1) -> list[str]:
    """Insert records that are due, and return their ids."""
    account.charge.apply_async((1,), countdown=3600)
    copy_record(number - 1)
    TaskRecord.objects.update(send_at=timezone.now() - timedelta(seconds=5))
    return list(TaskRecord.objects.values_list("pk", flat=True))


def copy_record(number: int, **values: str) -> None:
    """Insert copies of the first record, with other values given as SQL."""
    names = [field.column for field in TaskRecord._meta.fields if field.column != "id"]
    columns = ", ".join(f'"{name}"' for name in names)
    copied = ", ".join(values.get(name, f'"{name}"') for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (id, {columns}) SELECT gen_random_uuid()::text, {copied} "
            f"FROM (SELECT * FROM {TABLE} LIMIT 1) AS one, generate_series(1, %s) AS n",
            [number],
        )


def in_thread(function: Callable[[], Any]) -> threading.Thread:
    """Call a function in a thread, with a connection of its own."""

    def run() -> None:
        try:
            function()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def states() -> set[str]:
    return set(TaskRecord.objects.values_list("state", flat=True))


def length(queue: str) -> int:
    with app.connection_for_read() as broker:
        return int(app.amqp.queues[queue](broker.default_channel).queue_declare(passive=True)[1])


def test_a_chunk_costs_one_update(account: Account, queue: str) -> None:
    due(account, 2 * CHUNK)
    with CaptureQueriesContext(connection) as queries:
        assert Relay(app, ["default"]).tick() == 2 * CHUNK
    statements = [query["sql"].split()[0] for query in queries.captured_queries]
    chunk = ["BEGIN", "SELECT", "UPDATE", "COMMIT"]
    assert statements == ["SELECT", *chunk, *chunk, *chunk]  # the last chunk is empty
    assert states() == {State.SENT}
    assert length(queue) == 2 * CHUNK


def test_an_idle_tick_is_one_query() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert Relay(app, ["default"]).tick() == 0
    assert [query["sql"].split()[0] for query in queries.captured_queries] == ["SELECT"]


def test_two_relays_claim_different_records(account: Account) -> None:
    ids = due(account, 10)
    found: list[str] = []

    def claim_others() -> None:
        with claimed("default", 10) as claim:
            found.extend(record.id for record in claim.records)

    with claimed("default", 4) as claim:
        in_thread(claim_others).join()
        found.extend(record.id for record in claim.records)
    assert sorted(found) == sorted(ids)


def test_records_wait_as_before_if_their_messages_were_not_sent(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(account)
    before = TaskRecord.objects.values().get()
    monkeypatch.setattr(relay, "publish", _refuse)
    assert Relay(app, ["default"]).tick() == 0
    assert TaskRecord.objects.values().get() == before


def test_a_worker_waits_for_the_commit_of_a_relay(account: Account) -> None:
    """A worker that receives a message before the relay commits takes the record after that."""
    (task_id,) = due(account)
    taken: list[taking.Taken] = []

    def take() -> None:
        with transaction.atomic():
            taken.append(taking.take(_delivery(task_id)))

    with claimed("default", 10):
        thread = in_thread(take)
        thread.join(0.3)
        assert thread.is_alive()
    thread.join()
    assert [(each.state, each.is_elsewhere) for each in taken] == [(State.SENT, False)]


def test_an_unknown_task_does_not_hold_up_the_others(account: Account) -> None:
    unknown, *_ = due(account, 3)
    TaskRecord.objects.filter(pk=unknown).update(task="bank.gone")
    assert Relay(app, ["default"]).tick() == 2
    record = TaskRecord.objects.get(pk=unknown)
    assert (record.state, record.sent_at) == (State.WAITING, None)
    assert record.send_at > timezone.now() + timedelta(seconds=50)
    assert record.error.startswith("There is no task 'bank.gone' here.")


def test_the_server_ends_a_relay_that_hangs(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its records are due again, and the relay goes on with another connection."""
    due(account)
    monkeypatch.setattr(claims, "_SET_UP", claims._SET_UP.replace("'30s'", "'200ms'"))
    tried: list[int] = []

    def hang(*args: Any) -> None:
        tried.append(1)
        until = time.monotonic() + 20
        while _sessions_in_transaction():
            assert time.monotonic() < until

    with monkeypatch.context() as patch:
        patch.setattr(relay, "publish", hang)
        sender = Relay(app, ["default"])
        assert sender.tick() == 0  # it was sent, and will be again
    assert tried == [1]
    assert "Durable tasks of the database 'default' cannot be sent now" in caplog.text
    assert states() == {State.WAITING}
    sender._resume_at.clear()
    assert sender.tick() == 1
    assert states() == {State.SENT}


def test_done_records_slow_nothing(account: Account) -> None:
    """The plans use indexes where 20,000 records are done and few wait."""
    due(account, 20)
    copy_record(
        20_000, state="'done'", row="mod(n, 1000)::text", envelope="''", body="''", ended_at="now()"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {TABLE}")
    one = TaskRecord.objects.waiting().values_list("pk", flat=True)[0]

    plans = {
        "probe": _explain(lambda: claims.has_due("default")),
        "claim": _explain(lambda: _claim(500)),
        "mark": _explain(lambda: marks.mark("default", [one], 0)),
        "take": _explain(lambda: _take(one)),
        "unsent": _explain(lambda: TaskRecord.objects.unsent().count()),
        "failed": _explain(lambda: len(TaskRecord.objects.failed())),
        "resend": _explain(lambda: relay.resend("default", timedelta(seconds=60))),
        "for_instance": _explain(lambda: len(TaskRecord.objects.for_instance(account))),
        "retry": _explain(lambda: TaskRecord.objects.failed().retry()),
    }

    for name, found in plans.items():
        assert found, name
        assert [plan for plan in found if "Seq Scan" in plan] == [], name
    for name in ("probe", "claim", "unsent", "failed", "resend"):
        assert "cereal_records_due" in plans[name][-1], name
    assert "cereal_records_row" in plans["for_instance"][-1]


def test_the_index_of_due_records_leaves_out_those_that_are_done(account: Account) -> None:
    due(account)
    copy_record(20_000, state="'done'", envelope="''")
    with connection.cursor() as cursor:
        cursor.execute("REINDEX INDEX cereal_records_due")
        cursor.execute("SELECT pg_relation_size('cereal_records_due')")
        assert cursor.fetchone() == (2 * 8192,)


def _explain(function: Callable[[], Any]) -> list[str]:
    """Return the plans of the queries that a function executes, as JSON."""
    plans: list[str] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("SELECT", "UPDATE")) and TABLE in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                plans.append(json.dumps(cursor.fetchone()[0]))
        return execute(sql, params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(explain):
            function()
        transaction.set_rollback(True)
    return plans


def _claim(limit: int) -> None:
    with claimed("default", limit) as claim:
        claim.release()


def _take(task_id: str) -> None:
    taking.take(_delivery(task_id))


def _delivery(task_id: str) -> Delivery:
    """Return the delivery of a message that the relay has sent."""
    request = SimpleNamespace(id=task_id, cereal_record=["default", 0], delivery_info={})
    return Delivery(Account.charge.task, request, None)


def _sessions_in_transaction() -> int:
    """Return how many sessions are in a transaction, asked in a session of its own."""
    found: list[int] = []

    def ask() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
                "AND datname = current_database()"
            )
            found.extend(cursor.fetchone())

    in_thread(ask).join()
    return found[0]


def _refuse(*args: Any) -> None:
    raise ConnectionRefusedError("nobody there")
