"""Schedules: one row by its key, and rows by a name, chosen when they are due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from celery.result import EagerResult
from django.db import OperationalError

from cereal_methods import BulkResult, ModelReference
from cereal_methods.exceptions import InvalidModelTask
from cereal_methods.sending.schedules import BULK
from tests.celery import app
from tests.shop.models import Document, Gift, Order

from .messages import trace

pytestmark = pytest.mark.django_db

Sent = Callable[[], list[Any]]

ORDER = "tests.shop.models.Order"


def test_rows_are_chosen_when_they_are_due(
    due: Callable[..., Any], sent: Sent, django_assert_num_queries: Any
) -> None:
    Order.objects.create(pk=4, status="paid")
    call = Order.ship.bulk_s("paid", "dhl", express=True)
    Order.objects.filter(pk=4).update(status="new")
    Order.objects.bulk_create([Order(pk=5, status="paid"), Order(pk=6, status="paid")])

    with django_assert_num_queries(1):
        bulk_id = due(call.task, *call.args, **call.kwargs)

    shown = [(message.headers["argsrepr"], message.headers["kwargsrepr"]) for message in sent()]
    assert shown == [
        ("(<shop.Order 5>, 'dhl')", "{'express': True}"),
        ("(<shop.Order 6>, 'dhl')", "{'express': True}"),
    ]
    result = BulkResult.restore(bulk_id)
    assert result is not None
    assert (result.total, result.messages) == (2, 2)


def test_an_entry_takes_every_argument_of_a_bulk(due: Callable[..., Any], sent: Sent) -> None:
    Order.objects.bulk_create([Order(pk=pk, status="paid") for pk in (5, 6, 7)])

    due(
        BULK,
        f"{ORDER}.ship",
        "paid",
        ["dhl"],
        kwargs={"express": True},
        batch_size=2,
        options={"priority": 3},
    )

    messages = [(message.headers["argsrepr"], message.properties["priority"]) for message in sent()]
    assert messages == [("(<shop.Order 2 rows>, 'dhl')", 3), ("(<shop.Order 7>, 'dhl')", 3)]


def test_without_rows_nothing_is_sent(due: Callable[..., Any], sent: Sent) -> None:
    assert due(BULK, f"{ORDER}.count", "paid")
    assert sent() == []


def test_what_was_sent_is_logged(due: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cereal_methods")
    Order.objects.create(status="paid")

    bulk_id = due(BULK, f"{ORDER}.count", rows="paid")

    (record,) = [record for record in caplog.records if record.name == "cereal_methods"]
    assert record.getMessage().endswith(
        f"has sent {ORDER}.count for 1 of the rows 'paid': bulk {bulk_id}"
    )
    fields: Any = record
    assert (fields.task_name, fields.method, fields.model, fields.rows, fields.database) == (
        BULK,
        f"{ORDER}.count",
        "shop.Order",
        1,
        "default",
    )


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (
            [f"{ORDER}.shipp", "paid"],
            InvalidModelTask,
            f"The task '{ORDER}.shipp', to be sent for rows, does not exist. Did you mean "
            f"'{ORDER}.ship'?",
        ),
        (
            [f"{ORDER}.number_all", "paid"],
            InvalidModelTask,
            f"The task '{ORDER}.number_all', to be sent for rows, is not a method that runs on "
            "rows.",
        ),
        ([7, "paid"], InvalidModelTask, "The task 7, to be sent for rows, does not exist."),
        ([f"{ORDER}.ship", "payed"], InvalidModelTask, "Did you mean 'paid'?"),
        ([f"{ORDER}.ship", "paid"], TypeError, "carrier"),
        ([f"{ORDER}.ship", "paid", ["dhl"], None, 0], ValueError, "batch_size is 0"),
        ([f"{ORDER}.count", "paid", [], {}, 1, {"link": 1}], TypeError, "link="),
    ],
    ids=str,
)
def test_a_wrong_entry_fails_with_the_reason(
    due: Callable[..., Any], args: Any, error: Any, message: str
) -> None:
    with pytest.raises(error) as caught:
        due(BULK, *args)

    assert message in str(caught.value)


def test_a_wrong_call_is_refused_where_it_is_written() -> None:
    with pytest.raises(InvalidModelTask, match="Did you mean 'paid'"):
        Order.ship.bulk_s("payed", "dhl")
    with pytest.raises(TypeError):
        Order.ship.bulk_s("paid")
    with pytest.raises(InvalidModelTask, match="from the class"):
        Order(pk=5).ship.bulk_s("paid", "dhl")  # type: ignore[misc]


def test_the_signature_is_immutable_and_has_the_methods_serializer() -> None:
    call: Any = Order.ship_as_json.bulk_signature("paid", ["dhl"], batch_size=7, queue="mail")

    assert call.immutable
    assert call.options["serializer"] == "json"
    assert call.args == (f"{ORDER}.ship_as_json", "paid")
    assert call.kwargs == {"args": ["dhl"], "batch_size": 7, "options": {"queue": "mail"}}


def test_instances_among_the_arguments_are_references(due: Callable[..., Any]) -> None:
    order, other = Order.objects.create(status="paid"), Order.objects.create()

    call = order.meet.task and Order.meet.bulk_s("paid", other)

    assert call.kwargs["args"] == [ModelReference.of(other)]


def test_the_signature_runs_eagerly(eager: None) -> None:
    Order.objects.create(status="paid")

    result = Order.ship.bulk_s("paid", "dhl").delay()

    assert isinstance(result, EagerResult)
    result.get()
    assert Order.objects.get().carrier == "dhl"


def test_it_is_retried_if_the_database_is_unavailable(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **named: Any) -> None:
        raise OperationalError("unavailable")

    app.tasks[BULK].apply_async([f"{ORDER}.count", "paid"])
    (message,) = sent()
    monkeypatch.setattr("cereal_methods.sending.bulk_rows._queryset_keys", fail)

    done = trace(message)

    assert done.info.state == "RETRY"
    (again,) = sent()
    assert again.headers["id"] == message.headers["id"]
    monkeypatch.undo()
    Order.objects.create(status="paid")
    assert trace(again).info is None
    assert len(sent()) == 1


def test_a_child_is_sent_for_its_own_rows(sent: Sent, due: Callable[..., Any]) -> None:
    Order.objects.create(pk=5, status="paid")
    Gift.objects.create(pk=6, status="paid")

    due(BULK, "tests.shop.models.Gift.count", "all")

    assert [message.headers["argsrepr"] for message in sent()] == ["(<shop.Gift 6>,)"]


def test_rows_are_not_queried_before_they_are_due(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        call = Document.publish.bulk_s("titles")  # it queries, and is no queryset

    assert call.args == (Document.publish.name, "titles")


def test_it_succeeds_if_the_result_backend_is_unavailable(
    due: Callable[..., Any],
    sent: Sent,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(self: BulkResult) -> None:
        raise ConnectionError("unavailable")

    Order.objects.create(status="paid")
    monkeypatch.setattr(BulkResult, "save", fail)

    bulk_id = due(BULK, f"{ORDER}.count", "paid")

    assert len(sent()) == 1
    assert f"The bulk {bulk_id} could not be saved: unavailable" in caplog.text
