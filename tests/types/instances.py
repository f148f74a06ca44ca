"""Methods on an instance."""

from __future__ import annotations

from typing import assert_type

from celery.canvas import Signature, group
from celery.result import AsyncResult, EagerResult

from .shop import Order


def call(order: Order) -> None:
    assert_type(order.ship("dhl"), str)
    assert_type(order.ship(carrier="dhl", express=True), str)
    assert_type(order.number(), int)
    assert_type(order.merge(order, order), list[Order])
    order.ship(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.ship()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.ship("dhl", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.ship(order, "dhl")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]


def delay(order: Order) -> None:
    assert_type(order.ship.delay("dhl"), AsyncResult[str])
    assert_type(order.ship.delay("dhl").get(), str)
    assert_type(order.ship.delay("dhl", express=True).get(timeout=1), str)
    assert_type(order.ship.delay(carrier="dhl").get(), str)
    assert_type(order.notify.delay().get(), None)
    assert_type(order.merge.delay(order).get(), list[Order])
    order.ship.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.ship.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.ship.delay("dhl", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.ship.delay("dhl", expres=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.ship.delay("dhl", express="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.ship.delay(order, "dhl")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    order.number.delay("surplus")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.merge.delay(order, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.ship.dlay("dhl")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def result(order: Order) -> None:
    number: int = order.ship.delay("dhl").get()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    text: str = order.ship.delay("dhl").get()
    print(number, text)


def named_arguments(order: Order) -> None:
    assert_type(order.update("paid", weight=3), bool)
    assert_type(order.update.delay("paid", weight=3), AsyncResult[bool])
    order.update.delay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.update.delay("paid", weight="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.update.delay(weight=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def apply(order: Order) -> None:
    assert_type(order.ship.apply_async(["dhl"], countdown=60), AsyncResult[str])
    assert_type(order.ship.apply_async(("dhl",), {"express": True}, queue="slow").get(), str)
    assert_type(order.ship.apply(["dhl"]), EagerResult[str])
    assert_type(order.ship.apply(["dhl"]).get(), str)
    order.ship.apply_async(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.ship.apply_async(["dhl"], ["express"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def signatures(order: Order) -> None:
    assert_type(order.notify.s(), Signature[None])
    assert_type(order.ship.s("dhl"), Signature[str])
    assert_type(order.ship.si("dhl"), Signature[str])
    assert_type(order.ship.signature(["dhl"], immutable=True), Signature[str])
    assert_type(order.ship.s(), Signature[str])  # its carrier may come from the task before
    assert_type(order.ship.map(["dhl", "ups"]), Signature[list[str]])
    assert_type(order.ship.starmap([("dhl",), ("ups",)]), Signature[list[str]])
    assert_type(order.ship.chunks([("dhl",), ("ups",)], 2), group)


def attributes(order: Order) -> None:
    assert_type(order.ship.name, str)
    assert_type(order.ship.task.name, str)
    assert_type(order.ship.__name__, str)
    print(order.ship.__self__)
    assert_type(order.ship.task.AsyncResult("id").get(), str)
    order.ship.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
