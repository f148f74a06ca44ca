"""Recorded tasks: assertions take the arguments of the method, and results have its type."""

from __future__ import annotations

from typing import assert_type

from celery.result import AsyncResult

from cereal_methods import task
from cereal_methods.testing import RecordedTasks, SentTask, assert_num_fetches, record_tasks

from .shop import Gift, Order


@task
def remind(order: Order, days: int = 1) -> str:
    return str(days)


def record() -> None:
    with record_tasks() as tasks:
        assert_type(tasks, RecordedTasks)
    with record_tasks(commit=False), assert_num_fetches(2) as made:
        assert_type(made, list[str])
    with record_tasks(commits=False):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pass


def on_an_instance(tasks: RecordedTasks, order: Order, gift: Gift) -> None:
    assert_type(tasks.assert_sent(order.ship, "dhl"), SentTask[str])
    assert_type(tasks.assert_sent(order.ship, "dhl", express=True), SentTask[str])
    assert_type(tasks.assert_sent(order.ship), SentTask[str])
    assert_type(tasks.assert_sent(order.number).result, AsyncResult[int])
    assert_type(tasks.assert_sent(order.number).result.get(), int)
    assert_type(tasks.assert_sent(gift.ship, "dhl", card="x"), SentTask[str])
    assert_type(tasks.assert_sent(order.send, copy_to="me"), SentTask[int])
    tasks.assert_sent(order.ship, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    tasks.assert_sent(order.ship, "dhl", 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tasks.assert_not_sent(order.ship)
    tasks.assert_not_sent(order.ship, "dhl")
    tasks.assert_not_sent(order.ship, expres=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tasks.assert_sent(order.ship("dhl"))
    tasks.assert_sent(order.number())  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def on_the_class(tasks: RecordedTasks, order: Order) -> None:
    assert_type(tasks.assert_sent(Order.ship), SentTask[str])
    assert_type(tasks.assert_sent(Order.ship, order, "dhl"), SentTask[str])
    assert_type(tasks.assert_sent(Order.number_all, ["1"]), SentTask[list[int]])
    assert_type(tasks.assert_sent(Order.orders.count_all, 1), SentTask[int])
    tasks.assert_sent(Order.ship, "dhl")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def functions_and_names(tasks: RecordedTasks, order: Order) -> None:
    assert_type(tasks.assert_sent(remind, order, days=2), SentTask[str])
    assert_type(tasks.of(remind), list[SentTask[str]])
    tasks.assert_sent("billing.charge", 5)
    tasks.assert_sent(remind, order, days="2")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]


def messages(tasks: RecordedTasks, order: Order) -> None:
    assert_type(tasks.of(Order.ship), list[SentTask[str]])
    assert_type(tasks.of(order.number)[0].result.get(), int)
    assert_type(len(tasks), int)
    tasks.assert_num_sent(2)
    tasks.assert_num_sent(2, order.ship)
    tasks.assert_num_sent(order.ship, 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for sent in tasks.run(propagate=False):
        assert_type(sent.countdown, float | None)
