"""Plain tasks of the tests, and what they leave behind for them to see."""

from __future__ import annotations

import time
from typing import Any

from celery import Task, shared_task

from cereal_methods import CEREAL_JSON, CEREAL_PICKLE, ensure_self, task

from .models import Order
from .probe import mark


class Hooked(Task):  # type: ignore[type-arg]
    """A task class of a third party's, with hooks of its own."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Note the failure and what the arguments look like."""
        mark("on_failure", error=type(exc).__qualname__, args=repr(args), first=repr(args[0]))


@shared_task(serializer=CEREAL_JSON)
def total(data: Any) -> list[int]:
    """Count the orders and customers in nested data."""
    mark("begin")
    orders = [order for page in data["pages"] for order in page]
    customers = [entry["customer"] for entry in data["customers"]]
    names = {type(row).__name__ for row in (*orders, *customers)}
    return [len(orders), len(customers), len(names)]


@shared_task(serializer=CEREAL_PICKLE, base=Hooked)
def number_of(order: Order) -> str:
    """Return an order's number."""
    mark("begin")
    return order.number


@shared_task(serializer=CEREAL_JSON, autoretry_for=(ValueError,), retry_kwargs={"countdown": 0})
def count_to(order: Order, tries: int) -> int:
    """Fail, having counted on the row, until it has counted to ``tries``."""
    seen = order.tries
    order.tries += 1
    order.save()
    if seen < tries:
        raise ValueError(f"{seen} is less than {tries}")
    return seen


@task
def wait(order: Order, seconds: float) -> str:
    """Take some time."""
    mark("begin")
    time.sleep(seconds)
    return order.number


@task
def mourn(request: Any, exc: BaseException, traceback: Any, order: Order) -> None:
    """Note a failure, called inline by Celery with an order that is still there."""
    mark("errback", error=type(exc).__qualname__, number=order.number, id=request.id)


@task
def numbers(results: list[list[Any]], last: Order) -> list[str]:
    """Return the numbers of a chord's orders, and of one more."""
    return [*(order.number for order, _ in results), last.number]


@shared_task(serializer="json")
def plain(*args: Any) -> list[Any]:
    """Return the arguments of a task under Celery's own json."""
    return ["plain", *args]


@task
@ensure_self
def labelled(order: Order, *before: Any) -> list[Any]:
    """Return the order's number and what came before."""
    return ["labelled", order.number, *before]


class Opaque:
    """A value that only pickle can carry."""

    def __init__(self, order: Order) -> None:
        self.order = order


@task
def unwrap(opaque: Opaque) -> str:
    """Return the number of the order inside."""
    return opaque.order.number


@task
def first_of(orders: list[Order]) -> Order:
    """Return the first of some orders."""
    return orders[0]
