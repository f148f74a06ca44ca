"""One result for all rows of a bulk."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from celery.backends.rpc import RPCBackend

from cereal_methods import BulkResult
from cereal_methods.exceptions import ResultsExpired, ResultsNotKept
from cereal_methods.results.counts import Counts
from cereal_methods.results.ids import message_id
from tests.celery import app
from tests.shop.models import Order

from .bulks import result_of, store

pytestmark = pytest.mark.django_db(transaction=True)

Sent = Callable[[], list[Any]]
NOT_KEPT = (
    "The results of these rows are not stored: the task ignores its results, or the app has no "
    "result backend that keeps them (rpc:// does not). Set CELERY_RESULT_BACKEND, and do not set "
    "ignore_result."
)


def orders(many: int) -> list[Order]:
    return Order.objects.bulk_create(Order(number=str(number)) for number in range(many))


def test_numbers_are_those_of_the_records() -> None:
    result = result_of(full=2)
    store(message_id(result.id, 0), 1)

    assert [result.succeeded, result.failed, result.missing, result.ignored] == [1, 0, 0, 0]
    assert [result.revoked, result.expired, result.completed] == [0, 0, 1]
    assert result.progress() == 0.5
    assert not result.successful()
    store(message_id(result.id, 1), 1)
    assert result.progress() == 1.0
    assert result.ready()
    assert result.successful()


def test_messages_are_of_different_sizes() -> None:
    result = BulkResult("the-id", batch_size=2, app=app)

    for keys in ([1, 2], [3], [4, 5]):
        result.add(keys)

    assert (result.total, result.messages, len(result)) == (5, 3, 5)
    assert repr(result) == "<BulkResult the-id: 5 rows>"


def test_an_empty_bulk_is_completed() -> None:
    result = result_of(full=0)

    assert result.progress() == 1.0
    assert result.ready()
    assert result.get() == []


def test_a_failed_read_changes_nothing() -> None:
    result = result_of(full=3)
    store(message_id(result.id, 0), 1)
    store(message_id(result.id, 1), 1)
    assert result.succeeded == 2

    unavailable = ConnectionError("unavailable")
    with (
        mock.patch.object(type(app.backend), "mget", side_effect=unavailable),
        pytest.raises(ConnectionError),
    ):
        result.counts()

    assert result.counts() == Counts(3, succeeded=2)
    store(message_id(result.id, 2), 1)
    assert result.counts() == Counts(3, succeeded=3)


def test_records_of_tasks_that_have_ended_are_read_once() -> None:
    result = result_of(full=3)
    store(message_id(result.id, 1), 1)
    assert result.succeeded == 1
    read = type(app.backend).mget

    with mock.patch.object(type(app.backend), "mget", autospec=True, side_effect=read) as mget:
        result.counts()

    assert [len(call.args[1]) for call in mget.call_args_list] == [2]


# Results that were removed.


@pytest.mark.parametrize("expires", [24 * 3600, timedelta(days=1)])
def test_results_that_were_removed_are_an_error(
    expires: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.backend, "expires", expires)
    result = result_of(full=2, sent_at=time.time() - 10 * 24 * 3600)
    store(message_id(result.id, 0), 1)

    assert result.counts() == Counts(2, succeeded=1)
    for ask in (result.ready, result.wait, result.get):
        with pytest.raises(ResultsExpired) as caught:
            ask()
        assert isinstance(caught.value, ResultsNotKept)
        assert str(caught.value) == (
            f"The bulk {result.id} was sent 240.0 hours ago, and its result backend keeps results "
            "for a shorter time: 1 of its 2 rows have no record. They may have run. Read results "
            "sooner, or keep them longer with CELERY_RESULT_EXPIRES."
        )


@pytest.mark.parametrize("kind", ["young", "unknown", "kept for ever"])
def test_other_bulks_may_still_be_completed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "kept for ever":
        monkeypatch.setattr(app.backend, "expires", None)
    age = {"young": 0.0, "kept for ever": 1e9}.get(kind)
    result = result_of(sent_at=None if age is None else time.time() - age)

    assert not result.ready()


# Results that are not kept.


def test_ignored_results_have_no_numbers(sent: Sent) -> None:
    result = Order.trace.bulk_apply_async(orders(2), ignore_result=True)

    assert result.total == 2
    assert result.counts() is None
    assert [result.completed, result.succeeded, result.failed, result.missing] == [None] * 4
    assert result.progress() is None


@pytest.mark.parametrize("name", ["get", "ready", "successful", "failures", "save", "wait"])
def test_ignored_results_cannot_be_read(name: str) -> None:
    result = result_of(is_kept=False)

    with pytest.raises(ResultsNotKept) as caught:
        getattr(result, name)()
    assert str(caught.value) == NOT_KEPT


def test_a_backend_for_one_reader_keeps_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_backend_cache", RPCBackend(app))
    monkeypatch.setattr(app, "_local_backend", None, raising=False)
    result = result_of()

    assert isinstance(app.backend, RPCBackend)
    assert result.progress() is None
    with pytest.raises(ResultsNotKept):
        result.get()
    with pytest.raises(ResultsNotKept) as caught:
        BulkResult.restore(result.id)
    assert str(caught.value) == NOT_KEPT


# Eager tasks.


def test_an_eager_bulk_runs_every_row(eager: None) -> None:
    rows = orders(4)
    Order.objects.filter(pk=rows[1].pk).update(number="bad")
    Order.objects.filter(pk=rows[2].pk).delete()

    result = Order.fail_if_bad.bulk_apply_async(rows, batch_size=3)

    assert result.counts() == Counts(4, succeeded=2, failed=1, missing=1)
    assert [failure.key for failure in result.failures()] == [rows[1].pk, rows[2].pk]
    assert result.failures()[0].error == "ValueError: order bad fails"
    assert result.get(propagate=False)[::3] == ["0", "3"]
    with pytest.raises(ValueError, match="order bad fails"):
        result.get()


# Saving, revoking.


def test_a_result_is_saved_and_restored() -> None:
    result = result_of(batch_size=2, full=2, tail=[1], sent_at=5.0)

    result.save()

    restored = BulkResult.restore(result.id)
    assert restored is not None
    assert (restored.id, restored.total, restored.messages, restored.sent_at) == (
        result.id,
        5,
        3,
        5.0,
    )
    result.delete()
    assert BulkResult.restore(result.id) is None


def test_a_result_is_restored_for_its_app() -> None:
    result = result_of()
    result.save()

    restored = BulkResult.restore(result.id, app=app)

    assert restored is not None
    assert restored.app is app


def test_a_result_of_an_earlier_version_is_restored() -> None:
    store("an-earlier-bulk", [2, 1, [1], True])

    restored = BulkResult.restore("an-earlier-bulk")

    assert restored is not None
    assert (restored.total, restored.sent_at) == (3, None)


@pytest.mark.parametrize("other", [5, [1, 2, 3, 4], "abc"])
def test_other_results_are_not_restored(other: Any) -> None:
    task_id = str(uuid.uuid4())
    store(task_id, other)

    assert BulkResult.restore(task_id) is None


def test_a_bulk_is_revoked_by_its_stamp(monkeypatch: pytest.MonkeyPatch) -> None:
    result = result_of()
    control = mock.Mock()
    monkeypatch.setitem(vars(app), "control", control)  # where kombu keeps a cached property

    result.revoke()
    result.revoke(terminate=True, signal="SIGKILL")

    assert control.revoke_by_stamped_headers.mock_calls == [
        mock.call({"cereal_bulk": [result.id]}, terminate=False, signal="SIGTERM"),
        mock.call({"cereal_bulk": [result.id]}, terminate=True, signal="SIGKILL"),
    ]
