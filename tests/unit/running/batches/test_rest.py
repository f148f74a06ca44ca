"""The rest of a batch, and batches whose state Celery could not store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cereal_methods.results.counts import Counts
from cereal_methods.results.ids import rest_id
from cereal_methods.running.batches import journal, rest
from tests.celery import app

from .odd import deliver, odd_orders, rows_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("new_models"),
    pytest.mark.filterwarnings("ignore:Exception raised outside body"),
]

Sent = Callable[[], list[Any]]


def fail_to_store(message: Any, **request: Any) -> None:
    """Deliver a message whose result Celery cannot store."""
    with mock.patch.object(app.backend, "mark_as_done", side_effect=ConnectionError("unavailable")):
        deliver(message, **request)


def test_the_rest_is_sent_with_the_arguments_of_the_batch(sent: Sent) -> None:
    model = odd_orders()
    rows = rows_of(model, "a", "limited", "c", "d")
    model.act.bulk_apply_async(rows, ["x"], batch_size=9, serializer="cereal-json")
    (message,) = sent()

    deliver(message)

    (part,) = sent()
    args, kwargs, _ = part.payload
    assert args.with_references() == ["x"]
    assert list(kwargs.with_references()["this"].keys) == [row.pk for row in rows[2:]]
    assert part.content_type == message.content_type
    assert part.headers["argsrepr"] == "(<shop.OddOrder 2 rows>, 'x')"
    assert part.headers["stamps"] == message.headers["stamps"]


def test_the_rest_of_a_message_without_texts_is_sent(sent: Sent) -> None:
    model = odd_orders()
    model.act.bulk_apply_async(rows_of(model, "limited", "b"), batch_size=9)
    (message,) = sent()

    deliver(message, argsrepr=None, kwargsrepr="")

    assert len(sent()) == 1


def test_an_outcome_that_could_not_be_stored_is_stored_then(sent: Sent) -> None:
    model = odd_orders()
    result = model.act.bulk_apply_async(rows_of(model, "a", "fails"), batch_size=9)
    (message,) = sent()

    fail_to_store(message)

    assert result.counts() == Counts(2, succeeded=1, failed=1)
    assert journal.read(message.headers["id"]).is_recorded
    assert sent() == []


def test_rows_that_had_not_started_are_sent_again(sent: Sent) -> None:
    model = odd_orders()
    result = model.act.bulk_apply_async(rows_of(model, "a", "b", "c"), batch_size=9)
    (message,) = sent()

    def begin(task_id: str) -> None:
        book = journal.Journal(task_id)
        book.open()
        book.end('="a"', at_once=True)
        book.close()
        raise ConnectionError("unavailable")

    with mock.patch.object(model.act.task.backend, "mark_as_done") as store:
        store.side_effect = lambda task_id, *args, **options: begin(task_id)
        with mock.patch("cereal_methods.running.invocation.batch.Batch.run", return_value={}):
            deliver(message)

    (part,) = sent()
    assert part.headers["id"] == rest_id(message.headers["id"], 1)
    deliver(part)
    assert result.counts() == Counts(3, succeeded=3)


def test_without_results_only_the_rest_is_sent(sent: Sent) -> None:
    model = odd_orders(ignore_result=True)
    model.act.bulk_apply_async(rows_of(model, "a", "b"), batch_size=9)
    (message,) = sent()
    payload = message.payload

    rest._record_and_continue(
        sender=model.act.task,
        task_id=message.headers["id"],
        args=payload[0],
        kwargs=payload[1],
        request=dict(message.headers),
    )

    (part,) = sent()
    assert part.headers["id"] == rest_id(message.headers["id"], 0)


def test_the_row_of_a_part_is_a_batch(sent: Sent) -> None:
    model = odd_orders()
    rows = rows_of(model, "a", "b")
    model.act.bulk_apply_async(rows, batch_size=9)
    (message,) = sent()

    rest._record_and_continue(
        sender=model.act.task,
        task_id="part",
        args=message.payload[0],
        kwargs=message.payload[1],
        request={**message.headers, "cereal_rows": [1, 2]},
    )

    (part,) = sent()
    this = part.payload[1].with_references()["this"]
    assert list(this.keys) == [rows[1].pk]


@pytest.mark.parametrize("kind", ["one row", "another task", "eager"])
def test_other_messages_are_not_changed(sent: Sent, kind: str, journals: Path) -> None:
    model = odd_orders()
    model.act.bulk_apply_async(rows_of(model, "a", "b"), batch_size=1 if kind == "one row" else 9)
    message, *_ = sent()

    rest._record_and_continue(
        sender=mock.Mock(spec=["name"]) if kind == "another task" else model.act.task,
        task_id=message.headers["id"],
        args=message.payload[0],
        kwargs=message.payload[1],
        request={**message.headers, "is_eager": kind == "eager"},
    )

    assert sent() == []
    assert list(journals.iterdir()) == []


def test_an_error_is_logged(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    model = odd_orders()
    model.act.bulk_apply_async(rows_of(model, "a", "b"), batch_size=9)
    (message,) = sent()

    with mock.patch.object(rest, "send_rest", side_effect=ConnectionError("unavailable")):
        rest._record_and_continue(
            sender=model.act.task,
            task_id="the-id",
            args=message.payload[0],
            kwargs=message.payload[1],
        )

    assert f"Batch {model.act.task.name}[the-id] could not be continued." in caplog.messages
