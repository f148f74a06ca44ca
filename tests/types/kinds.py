"""Bound methods, class methods, static methods, methods of managers."""

from __future__ import annotations

from typing import assert_type

from celery.result import AsyncResult

from .shop import Gift, Order


def bound(order: Order) -> None:
    assert_type(order.send("me"), int)
    assert_type(order.send.delay(), AsyncResult[int])
    assert_type(order.send.delay(copy_to="me").get(), int)
    assert_type(Order.send.delay(order, "me").get(), int)
    order.send(order.send.task, "me")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    order.send.delay(order.send.task, "me")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    order.send.delay(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.send.delay(order, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.send.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def bound_with_named_arguments(order: Order) -> None:
    assert_type(order.send_with.delay("me", weight=1).get(), int)
    order.send_with.delay("me", weight="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.send_with.delay(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def class_methods(order: Order) -> None:
    assert_type(Order.number_all(["1"]), list[int])
    assert_type(Order.number_all.delay(["1"]), AsyncResult[list[int]])
    assert_type(Order.number_all.delay(numbers=["1"], last=order).get(), list[int])
    assert_type(order.number_all.delay(["1"]).get(), list[int])
    assert_type(Gift.number_all.delay(["1"]).get(), list[int])
    assert_type(Order.create.delay("dhl", weight=3).get(), Order)
    Order.number_all.delay(Order, ["1"])  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    Order.number_all.delay("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.number_all.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.number_all.delay([1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    Order.create.delay("dhl", weight="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def bound_class_methods(order: Order) -> None:
    assert_type(Order.task_of.delay("a").get(), str)
    assert_type(order.task_of("a"), str)
    Order.task_of.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.task_of.delay(order.task_of.task, "a")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]


def static_methods(order: Order) -> None:
    assert_type(Order.parse("ff", 16), int)
    assert_type(Order.parse.delay("ff", base=16).get(), int)
    assert_type(order.parse.delay("ff", 16).get(), int)
    assert_type(Order.sweep.delay().get(), int)
    assert_type(order.sweep.delay().get(), int)
    Order.parse.delay(255)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.parse.delay("ff", "16")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.parse.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.sweep.delay(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def managers() -> None:
    assert_type(Order.orders.count_all(1), int)
    assert_type(Order.orders.count_all.delay(1), AsyncResult[int])
    assert_type(Order.orders.count_all.delay().get(), int)
    assert_type(Order.orders.count_bound.delay(1).get(), int)
    Order.orders.count_all.delay("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.orders.count_all.delay(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.orders.count_bound.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
