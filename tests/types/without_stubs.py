"""A project without types for Celery and Django: arguments are checked all the same.

mypy reads this file on its own, with ``without_stubs.ini``.
"""

from __future__ import annotations

from typing import Any, assert_type

from celery import chain, group
from django.contrib import admin
from django.db import models

from cereal_methods import apply_on_commit, ensure_self, model_task, task
from cereal_methods.admin import ModelTaskAction, ModelTaskAdmin


class OrderManager(models.Manager):
    @model_task
    def count_all(self, more: int = 0) -> int:
        return more


class Order(models.Model):
    orders = OrderManager()

    @model_task
    def ship(self, carrier: str, *, express: bool = False) -> str:
        return carrier

    @model_task(bind=True, queue="mail", on_missing="discard")
    def send(self, task: Any, to: str, **fields: int) -> int:
        raise task.retry()

    @model_task
    def untyped(self, carrier):  # type: ignore[no-untyped-def]
        return carrier

    @model_task
    @classmethod
    def number_all(cls, numbers: list[str]) -> list[int]:
        return [len(numbers)]


@task
def pack(orders: list[Order]) -> int:
    return len(orders)


@task(queue="slow")
@ensure_self
def label(order: Order, packed: int) -> str:
    return str(packed)


def right(order: Order) -> None:
    assert_type(order.ship("dhl"), str)
    assert_type(order.ship.delay("dhl", express=True), Any)
    assert_type(order.ship.delay("dhl").get(timeout=1), Any)
    assert_type(Order.ship(order, "dhl"), str)
    Order.ship.delay(order, "dhl").get()
    order.send.delay("me", weight=3)
    order.untyped.delay("dhl").get()
    Order.number_all.delay(["1"])
    order.number_all.delay(["1"])
    OrderManager().count_all.delay(1)
    order.ship.apply_async(["dhl"], countdown=60)
    chain(order.ship.s("dhl"), order.send.s()).delay()
    (order.ship.s("dhl") | order.send.s()).apply_async()
    apply_on_commit(group([order.ship.s("dhl")])).join()
    pack.delay([order])
    label.s(this=order)


async def right_in_a_coroutine(order: Order) -> None:
    (await order.ship.adelay("dhl")).get()


def wrong(order: Order) -> None:
    order.ship(1)  # type: ignore[arg-type]
    order.ship.delay(1)  # type: ignore[arg-type]
    order.ship.delay()  # type: ignore[call-arg]
    order.ship.delay_on_commit("dhl", True)  # type: ignore[call-arg]
    Order.ship.delay("dhl")  # type: ignore[arg-type, call-arg]
    order.send.delay(5)  # type: ignore[arg-type]
    order.send.delay("me", weight="3")  # type: ignore[arg-type]
    Order.number_all.delay("1")  # type: ignore[arg-type]
    OrderManager().count_all.delay("1")  # type: ignore[arg-type]


model_task(que="mail")  # type: ignore[call-overload]


class OrderAdmin(ModelTaskAdmin, admin.ModelAdmin):  # type: ignore[type-arg]
    model_task_actions = ["ship", ModelTaskAction("send", permissions=["view"])]


class TypedAdmin(ModelTaskAdmin[Order], admin.ModelAdmin):
    model_task_actions = ["ship"]


ModelTaskAction("ship", confrm=True)  # type: ignore[call-arg]
