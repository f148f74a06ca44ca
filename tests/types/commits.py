"""Sending on commit and from coroutines."""

from __future__ import annotations

from typing import Any, assert_type

from celery import chain, group
from celery.result import AsyncResult, GroupResult

from cereal_methods import apply_on_commit

from .shop import Order


def on_commit(order: Order) -> None:
    assert_type(order.ship.delay_on_commit("dhl"), AsyncResult[str])
    assert_type(Order.ship.delay_on_commit(order, "dhl").get(), str)
    assert_type(order.ship.apply_async_on_commit(["dhl"], robust=True), AsyncResult[str])
    order.ship.delay_on_commit(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    order.ship.delay_on_commit()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    order.ship.delay_on_commit("dhl", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Order.ship.delay_on_commit("dhl")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    order.ship.apply_async_on_commit(["dhl"], robust="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def from_a_coroutine(order: Order) -> None:
    assert_type(await order.ship.adelay("dhl"), AsyncResult[str])
    assert_type(await order.ship.aapply_async(["dhl"], queue="slow"), AsyncResult[str])
    assert_type(await Order.ship.adelay(order, "dhl"), AsyncResult[str])
    await order.ship.adelay(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await order.ship.adelay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Order.ship.adelay("dhl")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    order.ship.adelay("dhl").get()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def both(order: Order) -> None:
    assert_type(await order.ship.adelay_on_commit("dhl"), AsyncResult[str])
    assert_type(await order.ship.aapply_async_on_commit(["dhl"]), AsyncResult[str])
    await order.ship.adelay_on_commit(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await order.ship.adelay_on_commit()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def canvases(order: Order) -> None:
    assert_type(apply_on_commit(order.ship.s("dhl")), AsyncResult[str])
    assert_type(apply_on_commit(order.ship.s("dhl"), "archive", robust=True).get(), str)
    assert_type(apply_on_commit(chain(order.ship.s("dhl"), order.notify.s())), AsyncResult[Any])
    assert_type(apply_on_commit(group([order.ship.s("dhl")]), using="archive"), GroupResult)
    apply_on_commit(order.ship)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    apply_on_commit(order.ship.s("dhl"), 5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
