"""``task`` and ``ensure_self``, for functions."""

from __future__ import annotations

from typing import Any, assert_type

from celery import Task
from celery.canvas import Signature
from celery.result import AsyncResult

from cereal_methods import ensure_self, task

from .shop import Order


class LoggedTask(Task[..., Any]):
    def log(self) -> str:
        return "logged"


@task
def pack(orders: list[Order], boxes: int = 1) -> int:
    return len(orders) * boxes


@task(queue="slow", max_retries=3, on_missing="discard")
def count(number: int) -> str:
    return str(number)


@task(bind=True)
def again(self: Task[..., Any], number: int) -> str:
    return str(number)


@task(bind=True)
def again_with(self: Task[..., Any], number: int, **fields: str) -> str:
    return str(number)


@task(base=LoggedTask)
def logged(number: int) -> str:
    return str(number)


@task
@ensure_self
def label(order: Order, packed: int) -> str:
    return f"{packed} in {order.pk}"


@ensure_self
def weigh(order: Order, packed: int) -> float:
    return packed * 0.5


def functions(order: Order) -> None:
    assert_type(pack([order]), int)
    assert_type(pack.delay([order], boxes=2), AsyncResult[int])
    assert_type(pack.delay([order]).get(), int)
    assert_type(pack.s([order]), Signature[int])
    assert_type(pack.apply_async(([order],), countdown=1).get(), int)
    pack.delay(order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pack.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    pack.delay([order], 1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def with_options() -> None:
    assert_type(count.delay(1).get(), str)
    assert_type(again.delay(1).get(), str)
    assert_type(again_with.delay(1, size="big").get(), str)
    assert_type(logged.log(), str)
    count.delay("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    again.delay()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    again.delay("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    again_with.delay(1, size=2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def ensured(order: Order) -> None:
    # With "this" or without, in any place: the arguments are not checked, the results are.
    assert_type(weigh(order, 1), float)
    assert_type(weigh(1, this=order), float)
    assert_type(label.s(this=order), Signature[str])
    assert_type(label.delay(1, this=order).get(), str)


task(que="mail")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
task(on_missing="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
task(on_commit=True)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
ensure_self(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
