"""Bulks on real workers: rows in messages of their own and in batches, and their result."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError

from cereal_methods import BulkResult
from cereal_methods.results.counts import Counts
from tests.shop.models import Order

from .workers import Worker

SECONDS = 60

pytestmark = pytest.mark.parametrize("batch_size", [None, 4])


def orders(many: int = 10) -> list[Order]:
    return Order.objects.bulk_create(Order(number=str(i)) for i in range(many))


def send(method: Any, rows: Any, *args: Any, batch_size: int | None) -> BulkResult:
    result: BulkResult = method.bulk_apply_async(rows, args, batch_size=batch_size)
    return result


def numbers(result: BulkResult) -> list[int]:
    counts = result.counts()
    assert counts is not None
    return [counts.total, counts.succeeded, counts.failed, counts.missing]


def test_every_row_is_run_once(worker: Worker, batch_size: int | None) -> None:
    orders()

    result = send(Order.trace, Order.objects.all(), "x", batch_size=batch_size)

    assert result.get(timeout=SECONDS) == [[str(i), "x"] for i in range(10)]
    assert numbers(result) == [10, 10, 0, 0]
    assert result.progress() == 1
    assert result.messages == (10 if batch_size is None else 3)
    assert result.failures() == []
    assert len([event for event in worker.events() if event["what"] == "begin"]) == 10


def test_a_row_that_fails_leaves_the_others_alone(worker: Worker, batch_size: int | None) -> None:
    rows = orders()
    Order.objects.filter(number__in=["3", "5"]).update(number="bad")
    Order.objects.filter(number="7").delete()

    result = send(Order.fail_if_bad, rows, batch_size=batch_size)
    result.wait(timeout=SECONDS)

    assert numbers(result) == [10, 7, 2, 1]
    assert sorted(result.failures()) == [
        (rows[3].pk, "ValueError: order bad fails"),
        (rows[5].pk, "ValueError: order bad fails"),
        (
            rows[7].pk,
            f"Order.DoesNotExist: shop.Order {rows[7].pk} in database 'default' does not exist: "
            "deleted after the task was sent, or not committed yet when the task ran.",
        ),
    ]
    found = result.get(timeout=SECONDS, propagate=False)
    assert [type(value) for value in found] == [
        *[str] * 3,
        ValueError,
        str,
        ValueError,
        str,
        Order.DoesNotExist,
        *[str] * 2,
    ]
    with pytest.raises(ValueError, match="order bad fails"):
        result.get(timeout=SECONDS)


def test_rows_retry_by_themselves(worker: Worker, batch_size: int | None) -> None:
    rows = orders(6)
    Order.objects.filter(pk=rows[0].pk).update(tries=5)

    result = send(Order.retry_until, Order.objects.all(), 1, batch_size=batch_size)

    assert [seen for seen, _ in result.get(timeout=SECONDS)] == [5, 1, 1, 1, 1, 1]
    assert numbers(result) == [6, 6, 0, 0]


def test_rows_are_retried_as_the_task_says(worker: Worker, batch_size: int | None) -> None:
    rows = orders(6)
    Order.objects.filter(pk=rows[0].pk).update(tries=5)
    Order.objects.filter(pk=rows[1].pk).update(number="bad")

    result = send(Order.fail_once, Order.objects.all(), batch_size=batch_size)
    result.wait(timeout=SECONDS)

    assert numbers(result) == [6, 5, 1, 0]
    assert result.failures() == [(rows[1].pk, "ValueError: order bad fails")]
    begun = [event["number"] for event in worker.events() if event["what"] == "begin"]
    assert sorted(begun) == ["0", "2", "2", "3", "3", "4", "4", "5", "5", "bad", "bad"]


@pytest.mark.parametrize("method", [Order.ship_or_not, Order.ship_later])
def test_missing_rows_follow_the_policy(
    worker: Worker, batch_size: int | None, method: Any
) -> None:
    rows = orders(5)
    Order.objects.filter(pk__in=[rows[1].pk, rows[4].pk]).delete()

    result = send(method, rows, batch_size=batch_size)
    result.wait(timeout=SECONDS)

    if method.name.endswith("ship_or_note"):  # which decides what comes of it
        assert numbers(result) == [5, 5, 0, 0]
    else:
        assert numbers(result) == [5, 3, 0, 2]
        assert sorted(failure.key for failure in result.failures()) == [rows[1].pk, rows[4].pk]
    if method.name.endswith("ship_later"):
        assert worker.log.read_text().count("fetches its rows again") >= 20
    else:
        assert result.get(timeout=SECONDS) == ["0", None, "2", "3", None]


def test_a_function_decides_what_missing_rows_give(worker: Worker, batch_size: int | None) -> None:
    rows = orders(5)
    Order.objects.filter(pk__in=[rows[1].pk, rows[4].pk]).delete()

    result = send(Order.ship_or_note, rows, batch_size=batch_size)
    result.wait(timeout=SECONDS)

    assert numbers(result) == [5, 5, 0, 0]
    assert result.get(timeout=SECONDS) == ["0", "noted", "2", "3", "noted"]


def test_rows_are_locked_one_by_one(worker: Worker, batch_size: int | None) -> None:
    rows = orders(5)
    Order.objects.filter(pk=rows[2].pk).delete()

    result = send(Order.meet_locked, rows, rows[0], batch_size=batch_size)
    result.wait(timeout=SECONDS)

    assert numbers(result) == [5, 4, 0, 1]
    assert result.get(timeout=SECONDS, propagate=False)[3:] == [["3", "0"], ["4", "0"]]
    locks = [event for event in worker.events() if "FOR UPDATE" in event.get("sql", "")]
    assert len(locks) == 5


def test_a_batch_is_locked_at_once_if_it_is_to_be(worker: Worker, batch_size: int | None) -> None:
    rows = orders(6)
    Order.objects.filter(pk=rows[1].pk).update(number="bad")
    Order.objects.filter(pk=rows[2].pk).delete()

    result = send(Order.count_together, rows, batch_size=batch_size)
    result.wait(timeout=SECONDS)

    assert numbers(result) == [6, 4, 1, 1]
    locks = [event for event in worker.events() if "FOR UPDATE" in event.get("sql", "")]
    assert len(locks) == (6 if batch_size is None else 3)  # one more for the row that is gone
    tries = dict(Order.objects.values_list("pk", "tries"))
    assert [tries[row.pk] for row in rows if row.pk in tries] == [1, 0, 1, 1, 1]


def test_a_missing_argument_fails_the_rows(worker: Worker, batch_size: int | None) -> None:
    rows = orders(5)
    other = Order.objects.create()
    other_key = other.pk
    result = Order.meet.bulk_apply_async(rows, [other], batch_size=batch_size, countdown=1)
    Order.objects.filter(pk=other_key).delete()

    result.wait(timeout=SECONDS)

    assert numbers(result) == [5, 0, 5, 0]
    # In the order in which they were read, and so of their messages' ends.
    assert sorted(failure.key for failure in result.failures()) == [row.pk for row in rows]
    assert f"shop.Order {other_key} in database" in result.failures()[0].error


def test_a_bulk_is_revoked(worker: Worker, batch_size: int | None) -> None:
    rows = orders(5)
    result = Order.trace.bulk_apply_async(rows, batch_size=batch_size, countdown=2)

    result.revoke()
    result.wait(timeout=SECONDS)

    assert result.counts() == Counts(5, revoked=5)
    assert sorted(result.failures()) == [(row.pk, "TaskRevokedError: revoked") for row in rows]
    with pytest.raises(TaskRevokedError):
        result.get(timeout=SECONDS)
    assert "begin" not in [event["what"] for event in worker.events()]


def test_rows_that_expire_are_told_by_their_keys(worker: Worker, batch_size: int | None) -> None:
    rows = orders(5)

    result = Order.trace.bulk_apply_async(rows, batch_size=batch_size, countdown=2, expires=0.5)
    result.wait(timeout=SECONDS)

    assert result.counts() == Counts(5, expired=5)
    assert sorted(failure.key for failure in result.failures()) == [row.pk for row in rows]
    assert "begin" not in [event["what"] for event in worker.events()]


# Celery asks redis-py for it whenever it stores something.
@pytest.mark.filterwarnings("ignore:Call to deprecated setex")
def test_a_restored_result_tells_the_same(worker: Worker, batch_size: int | None) -> None:
    rows = orders(9)
    Order.objects.filter(pk=rows[3].pk).update(number="bad")
    result = send(Order.fail_if_bad, rows, batch_size=batch_size)
    result.save()
    result.wait(timeout=SECONDS)

    found = BulkResult.restore(result.id)

    assert found is not None
    assert numbers(found) == numbers(result) == [9, 8, 1, 0]
    assert found.failures() == result.failures()
    assert found.get(propagate=False)[4:] == ["4", "5", "6", "7", "8"]


@pytest.mark.parametrize("serializer", ["json", "cereal-json", "cereal-msgpack"])
def test_every_serializer_carries_rows(
    worker: Worker, batch_size: int | None, serializer: str
) -> None:
    orders(5)

    result = Order.trace.bulk_apply_async(
        Order.objects.all(), ["x"], batch_size=batch_size, serializer=serializer
    )

    assert result.get(timeout=SECONDS) == [[str(i), "x"] for i in range(5)]


def test_a_time_limit_strikes_one_row(worker: Worker, batch_size: int | None) -> None:
    if "--pool=prefork" not in worker.options:
        pytest.skip("only processes have time limits")
    rows = orders(6)
    Order.objects.filter(pk=rows[1].pk).update(number="slow")

    result = Order.be_slow.bulk_apply_async(rows, [20], batch_size=batch_size, soft_time_limit=1)
    result.wait(timeout=SECONDS)

    assert numbers(result) == [6, 5, 1, 0]
    (failure,) = result.failures()
    assert failure.key == rows[1].pk
    found = result.get(propagate=False)
    assert isinstance(found[1], SoftTimeLimitExceeded)
    assert found[2:] == ["2", "3", "4", "5"]


def test_a_batch_is_fetched_with_one_query(worker: Worker, batch_size: int | None) -> None:
    orders(8)

    send(Order.trace, Order.objects.all(), batch_size=batch_size).get(timeout=SECONDS)

    queries = [event for event in worker.events() if event["what"] == "query"]
    assert len(queries) == (8 if batch_size is None else 2)
