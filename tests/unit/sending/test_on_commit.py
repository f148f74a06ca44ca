"""Sending on commit, in transactions that commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from celery.result import AsyncResult
from django.db import transaction
from django.test import override_settings

from cereal_methods import apply_on_commit, model_task
from cereal_methods.exceptions import UnsavedInstance
from tests.shop.models import Order

from ..bodies import stored
from .messages import row, sent_call

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

Sent = Callable[[], list[Any]]

ON_COMMIT = {"ON_COMMIT": True}

#: The ways to send a method on commit.
WAYS: dict[str, Callable[..., AsyncResult[Any]]] = {
    "delay_on_commit": lambda order, *args: order.trace.delay_on_commit(*args),
    "apply_async_on_commit": lambda order, *args: order.trace.apply_async_on_commit(args),
    "on the class": lambda order, *args: Order.trace.delay_on_commit(order, *args),
    "adelay_on_commit": lambda order, *args: async_to_sync(order.trace.adelay_on_commit)(*args),
    "aapply_async_on_commit": lambda order, *args: async_to_sync(
        order.trace.aapply_async_on_commit
    )(args),
    "apply_on_commit": lambda order, *args: apply_on_commit(order.trace.s(*args)),
    "on_commit=True": lambda order: order.ship_on_commit.delay(),
    "apply_async of on_commit=True": lambda order: order.ship_on_commit.apply_async(),
    "adelay of on_commit=True": lambda order: async_to_sync(order.ship_on_commit.adelay)(),
}


def go(self: Any) -> None:
    """Do nothing."""


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture(params=WAYS)
def send(request: pytest.FixtureRequest) -> Callable[..., AsyncResult[Any]]:
    """Each way in turn."""
    return WAYS[request.param]


def ids(sent: Sent) -> list[str]:
    """Return the ids of the messages that were sent since."""
    return [message.headers["id"] for message in sent()]


def test_nothing_is_sent_before_the_commit(send: Any, sent: Sent) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        result = send(order)
        assert ids(sent) == []

    assert isinstance(result, AsyncResult)
    assert ids(sent) == [result.id]


def test_nothing_is_sent_after_a_rollback(send: Any, sent: Sent) -> None:
    order = Order.objects.create()

    with pytest.raises(Undone), transaction.atomic():
        send(order)
        raise Undone

    assert ids(sent) == []


def test_a_rolled_back_savepoint_discards_its_messages(send: Any, sent: Sent) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        before = send(order)
        with pytest.raises(Undone), transaction.atomic():
            send(order)
            raise Undone
        with transaction.atomic():
            inside = send(order)
        after = send(order)

    assert ids(sent) == [before.id, inside.id, after.id]


def test_outside_a_transaction_the_task_is_sent_at_once(send: Any, sent: Sent) -> None:
    result = send(Order.objects.create())

    assert ids(sent) == [result.id]


def test_the_transaction_is_that_of_the_rows_database(send: Any, sent: Sent) -> None:
    order = Order.objects.using("archive").create()

    with transaction.atomic(using="archive"):
        with transaction.atomic(using="default"):
            result = send(order)
        assert ids(sent) == []

    assert ids(sent) == [result.id]


def test_sending_does_not_wait_for_transactions_of_other_databases(send: Any, sent: Sent) -> None:
    order = Order.objects.using("archive").create()

    with transaction.atomic(using="default"):
        result = send(order)
        assert ids(sent) == [result.id]


def test_a_row_read_from_a_replica_waits_for_its_primary(sent: Sent) -> None:
    order = stored(Order, pk=5, using="replica")

    with transaction.atomic():
        order.trace.delay_on_commit()
        assert ids(sent) == []

    (message,) = sent()
    assert message.payload[1].call.frame().wire == [["shop.Order", 5, "default"]]


def test_the_message_equals_that_of_delay(sent: Sent) -> None:
    order, other = Order.objects.create(), Order.objects.create()

    with transaction.atomic():
        order.meet.delay_on_commit(other)

    (message,) = sent()
    assert message.headers["task"] == "tests.shop.models.Order.meet"
    assert message.headers["argsrepr"] == f"(<shop.Order {order.pk}>, <shop.Order {other.pk}>)"
    assert sent_call(message) == ([row("Order", other.pk)], {"this": row("Order", order.pk)})


def test_it_takes_the_options_of_apply_async(sent: Sent) -> None:
    order = Order.objects.create()

    result = order.trace.apply_async_on_commit(
        task_id="an-id", serializer="json", headers={"tenant": "x"}
    )

    (message,) = sent()
    assert result.id == message.headers["id"] == "an-id"
    assert message.headers["tenant"] == "x"
    assert message.content_type == "application/json"


def test_wrong_arguments_are_refused_at_the_call(sent: Sent) -> None:
    with transaction.atomic(), pytest.raises(TypeError) as caught:
        stored(Order, pk=5).ship.delay_on_commit()  # type: ignore[call-arg]

    assert str(caught.value) == "Order.ship() missing 1 required positional argument: 'carrier'"
    assert ids(sent) == []


def test_an_unsaved_instance_is_refused_at_the_call(sent: Sent) -> None:
    with transaction.atomic(), pytest.raises(UnsavedInstance) as caught:
        stored(Order, pk=5).trace.delay_on_commit([Order()])

    assert str(caught.value).startswith("This shop.Order has no row in the database: ")
    assert ids(sent) == []


def test_after_a_robust_failure_the_other_messages_are_sent(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        order.trace.apply_async_on_commit([print], robust=True, serializer="cereal-json")
        apply_on_commit(order.trace.s(print).set(serializer="cereal-json"), robust=True)
        result = order.trace.delay_on_commit()

    assert ids(sent) == [result.id]
    refusal = (
        "(cereal-json cannot carry this value: Object of type builtin_function_or_method is not "
        "JSON serializable. Convert it, or send the task with serializer='cereal-pickle'.)."
    )
    assert [line.getMessage() for line in caplog.records if line.name.startswith("django")] == [
        f"Error calling Task.apply_async in on_commit() during transaction {refusal}",
        f"Error calling Signature.apply_async in on_commit() during transaction {refusal}",
    ]


def test_class_methods_wait_for_the_default_database(sent: Sent) -> None:
    with transaction.atomic():
        Order.number_all.delay_on_commit(["a"])
        Order.paid.count_all.delay_on_commit()
        assert ids(sent) == []

    assert len(ids(sent)) == 2


# the setting


@override_settings(CEREAL_METHODS=ON_COMMIT)
def test_the_setting_makes_every_method_wait(sent: Sent) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        result = order.trace.delay()
        assert ids(sent) == []

    assert ids(sent) == [result.id]


@override_settings(CEREAL_METHODS=ON_COMMIT)
def test_a_method_can_override_the_setting(sent: Sent, new_models: None) -> None:
    Order.add_to_class("at_once", model_task(on_commit=False)(go))
    order: Any = Order.objects.create()

    with transaction.atomic():
        result = order.at_once.delay()
        assert ids(sent) == [result.id]


@override_settings(CEREAL_METHODS=ON_COMMIT)
def test_signatures_do_not_wait(sent: Sent) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        result = order.trace.s().delay()
        assert ids(sent) == [result.id]


def test_coroutines_send(sent: Sent) -> None:
    order = stored(Order, pk=5)

    async def send() -> list[Any]:
        return [
            await order.trace.adelay(1),
            await order.trace.aapply_async([2], task_id="two"),
            await Order.trace.adelay(order, 3),
        ]

    assert [result.id for result in asyncio.run(send())] == ids(sent)


def test_a_coroutine_sends_what_delay_sends(sent: Sent) -> None:
    order = stored(Order, pk=5)

    asyncio.run(order.ship.adelay("dhl", express=True))

    (message,) = sent()
    assert sent_call(message) == (["dhl"], {"this": row("Order", 5), "express": True})


def test_later_changes_of_the_arguments_are_not_sent(sent: Sent) -> None:
    order = Order.objects.create()
    inner = [1]
    data = {"a": inner, "b": {2}}
    with transaction.atomic():
        order.itself.delay_on_commit(data, named=inner)
        inner.append(3)
        data["b"] = {4}

    (message,) = sent()
    args, kwargs, _ = message.payload
    assert args.with_references() == [{"a": [1], "b": {2}}]
    assert kwargs.with_references()["named"] == [1]


def test_outside_a_transaction_an_eager_result_is_ready_at_once(eager: None) -> None:
    order = Order.objects.create(number="one")

    assert order.trace.delay_on_commit(1).get() == ["one", 1]
    assert apply_on_commit(order.trace.s(1)).get() == ["one", 1]
