"""Methods on the class, which take the instance first."""

from __future__ import annotations

from typing import assert_type

from celery.canvas import Signature
from celery.result import AsyncResult, EagerResult

from .shop import Gift, Order


def call(order: Order) -> None:
    assert_type(Order.ship(order, "dhl"), str)
    assert_type(Order.ship(order, carrier="dhl", express=True), str)
    Order.ship("dhl")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship(order)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def delay(order: Order, gift: Gift) -> None:
    assert_type(Order.ship.delay(order, "dhl"), AsyncResult[str])
    assert_type(Order.ship.delay(order, "dhl", express=True).get(), str)
    assert_type(Order.ship.delay(gift, carrier="dhl").get(), str)
    assert_type(Order.update.delay(order, "paid", weight=3).get(), bool)
    Order.ship.delay("dhl")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship.delay(order)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship.delay(order, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.ship.delay(order, "dhl", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship.delay(5, "dhl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.update.delay(order, "paid", weight="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Gift.ship.delay(order, "dhl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def apply(order: Order) -> None:
    assert_type(Order.ship.apply_async([order, "dhl"], countdown=60), AsyncResult[str])
    assert_type(Order.ship.apply([order, "dhl"]), EagerResult[str])
    assert_type(Order.ship.s(order, "dhl"), Signature[str])
    assert_type(Order.ship.si(order, "dhl"), Signature[str])
    assert_type(Order.ship.name, str)


def of_a_variable_class(model: type[Order], order: Order) -> None:
    assert_type(model.ship.delay(order, "dhl").get(), str)
    model.ship.delay("dhl")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
