"""Methods for many rows: the rows first, then the method's own arguments."""

from __future__ import annotations

from typing import assert_type

from celery.canvas import Signature, group

from cereal_methods import BulkResult

from .shop import Order


def bulk_delay(orders: list[Order]) -> None:
    assert_type(Order.ship.bulk_delay(orders, "dhl"), BulkResult)
    assert_type(Order.ship.bulk_delay([1, 2], "dhl", express=True), BulkResult)
    assert_type(Order.ship.bulk_delay_on_commit(Order.objects.all(), carrier="dhl"), BulkResult)
    Order.ship.bulk_delay(orders)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship.bulk_delay(orders, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Order.ship.bulk_delay(orders, "dhl", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship.bulk_delay(5, "dhl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def bulk_apply_async(orders: list[Order]) -> None:
    result = Order.ship.bulk_apply_async(orders, ["dhl"], batch_size=500, countdown=60)
    assert_type(result, BulkResult)
    assert_type(result.total, int)
    assert_type(result.failed, int | None)
    assert_type(result.progress(), float | None)
    Order.ship.bulk_apply_async(orders, batch_size="500")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(BulkResult.restore("id"), BulkResult | None)


def as_group(orders: list[Order]) -> None:
    assert_type(Order.ship.group(orders, "dhl"), group)
    Order.ship.group(orders, 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def scheduled() -> None:
    assert_type(Order.ship.bulk_s("paid", "dhl"), Signature[str])
    assert_type(Order.ship.bulk_signature("paid", ["dhl"], batch_size=500), Signature[str])
    Order.ship.bulk_s("paid")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship.bulk_s(Order.objects.all(), "dhl")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
