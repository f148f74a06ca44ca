"""What bulks cost, in queries, messages and round trips: exact numbers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery.states import SUCCESS
from django.db import connection
from redis.connection import AbstractConnection

from cereal_methods import BulkResult
from cereal_methods.results.ids import message_id
from tests.celery import app
from tests.shop.models import Order

from .workers import Worker

SECONDS = 60

# Celery's Redis backend stores with a command that redis-py 8 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")


@contextmanager
def queries() -> Iterator[list[tuple[str, bool]]]:
    """Collect this process's queries, and whether the server keeps their cursor."""
    seen: list[tuple[str, bool]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, bool(getattr(context["cursor"].cursor, "name", None))))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


@contextmanager
def redis_commands(*wanted: str) -> Iterator[list[tuple[str, int]]]:
    """Collect the commands of these names that this process sends, and how many keys each has."""
    seen: list[tuple[str, int]] = []
    send = AbstractConnection.send_command

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not wanted or args[0] in wanted:
            seen.append((args[0], len(args) - 1))
        return send(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "send_command", spy)
        yield seen


@pytest.fixture
def redis_results() -> None:
    """Connect to the result backend, so that what follows does not."""
    if not app.conf.result_backend.startswith("redis:"):
        pytest.skip("counts commands of Redis")
    app.backend.client.ping()


def orders(many: int) -> list[Order]:
    return Order.objects.bulk_create(Order(number=str(place)) for place in range(many))


@pytest.mark.parametrize(("rows", "batch_size", "messages"), [(25, None, 25), (4_500, 1000, 5)])
def test_dispatch_streams_the_keys_with_one_query(
    nowhere: str, rows: int, batch_size: int | None, messages: int
) -> None:
    orders(rows)

    with queries() as seen:
        result = Order.trace.bulk_apply_async(
            Order.objects.all(), batch_size=batch_size, queue=nowhere
        )

    [(sql, is_streamed)] = seen
    columns, _, source = sql.partition(" FROM ")
    assert columns.startswith('SELECT "shop_order"."id"')
    assert "," not in columns
    assert source.startswith('"shop_order" ORDER BY ')
    assert is_streamed
    assert (result.total, result.messages) == (rows, messages)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_dispatch_of_keys_and_instances_runs_no_query(nowhere: str, batch_size: int | None) -> None:
    rows = orders(10)
    mixed = [*rows[:5], *(row.pk for row in rows[5:])]

    with queries() as seen:
        result = Order.trace.bulk_apply_async(mixed, batch_size=batch_size, queue=nowhere)

    assert seen == []
    assert result.total == 10


@pytest.mark.parametrize(("batch_size", "messages"), [(None, 10), (4, 3), (500, 1)])
def test_dispatch_sends_a_command_for_each_message_and_awaits_none(
    nowhere: str, redis_results: None, batch_size: int | None, messages: int
) -> None:
    orders(10)
    Order.trace.bulk_apply_async(Order.objects.all(), queue=nowhere)  # connects

    with redis_commands("LPUSH", "SUBSCRIBE", "PSUBSCRIBE") as seen:
        Order.trace.bulk_apply_async(Order.objects.all(), batch_size=batch_size, queue=nowhere)

    # Celery subscribes to the result of a task that it sends; a bulk lets it once.
    assert sorted(seen) == [("LPUSH", 2)] * messages + [("SUBSCRIBE", 1)]


@pytest.mark.parametrize(("batch_size", "fetches"), [(None, 10), (4, 3), (500, 1)])
def test_a_worker_fetches_the_rows_of_a_message_with_one_query(
    worker: Worker, batch_size: int | None, fetches: int
) -> None:
    orders(10)

    result = Order.trace.bulk_apply_async(Order.objects.all(), batch_size=batch_size)
    result.wait(timeout=SECONDS)

    whats = [event["what"] for event in worker.events()]
    assert whats.count("query") == fetches
    assert whats.count("session") == fetches
    assert whats.count("begin") == 10


@pytest.mark.parametrize(("messages", "reads"), [(1, 1), (10_000, 1), (25_000, 3)])
def test_progress_asks_for_ten_thousand_messages_at_a_time(
    redis_results: None, messages: int, reads: int
) -> None:
    result = BulkResult(str(uuid.uuid4()), 1000, messages, app=app)

    with redis_commands() as seen:
        assert result.progress() == 0

    assert [command for command, _ in seen] == ["MGET"] * reads
    assert sum(keys for _, keys in seen) == messages


def test_progress_asks_again_only_for_what_was_open(redis_results: None) -> None:
    result = BulkResult(str(uuid.uuid4()), 1, 10, app=app)
    asked = []
    for done in (0, 4, 10):
        for number in range(done):
            app.backend.store_result(message_id(result.id, number), None, SUCCESS)
        with redis_commands() as seen:
            assert result.progress() == done / 10
            assert result.completed == done
        asked.append(seen)

    assert asked == [
        [("MGET", 10), ("MGET", 10)],
        [("MGET", 10), ("MGET", 6)],
        [("MGET", 6)],
    ]


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (None, [("MGET", 10), ("MGET", 3)]),  # records, and the notes of those that failed
        (4, [("MGET", 3)]),
    ],
)
def test_failures_cost_one_more_read_and_only_without_batches(
    worker: Worker, redis_results: None, batch_size: int | None, expected: list[Any]
) -> None:
    rows = orders(10)
    Order.objects.filter(number__in=["3", "5"]).update(number="bad")
    Order.objects.filter(number="7").delete()
    sent = Order.fail_if_bad.bulk_apply_async(rows, batch_size=batch_size)
    sent.wait(timeout=SECONDS)
    sent.save()
    result = BulkResult.restore(sent.id)
    assert result is not None

    with redis_commands() as seen:
        assert (result.failed, result.missing) == (2, 1)
        assert len(result.failures()) == 3

    assert seen == expected
