"""The contenders: what each sends for one order, for many, and for none."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, Final

from cereal_methods import ModelReference

from . import tasks
from .models import Order

#: The hand-written task that takes a primary key: what all others are compared with.
FLOOR: Final = "by hand"

#: The very same in processes of its own: how far its ratio is from 1 is noise.
AGAIN: Final = "by hand, again"

DJANGO_CEREAL: Final = "django-cereal"
PICKLE: Final = "whole pickle"
METHOD_PICKLE: Final = "cereal-pickle"
METHOD_CEREAL_JSON: Final = "cereal-json"
METHOD_JSON: Final = "json"
METHODS: Final = (METHOD_PICKLE, METHOD_CEREAL_JSON, METHOD_JSON)

#: A task that is called with arguments, and those: what one message holds.
Call = tuple[Any, tuple[Any, ...], dict[str, Any]]


class Contender:
    """The hand-written task; the others differ in parts."""

    tasks: dict[str, Any] = tasks.BY_HAND

    def method(self, order: Order) -> Call:
        """Return what is sent to run a method of one order."""
        return self.argument(order)

    def argument(self, order: Order) -> Call:
        """Return what is sent to a function that takes one order."""
        return self.tasks["ship"], (order.pk,), {}

    def hundred(self, orders: list[Order]) -> Call:
        """Return what is sent to a function that takes many orders."""
        return self.tasks["ship_many"], ([order.pk for order in orders],), {}

    def plain(self, numbers: list[int]) -> Call:
        """Return what is sent to a function that takes no order."""
        return self.tasks["count"], (numbers,), {}

    def send(self, order: Order) -> Any:
        """Send one, as a user would write it."""
        return self.tasks["ship"].delay(order.pk)

    def signature(self, order: Order) -> Any:
        """Return the signature for a canvas, as a user would write it."""
        return self.tasks["ship"].si(order.pk)


class Instances(Contender):
    """Tasks that take the instance itself."""

    # ruff: noqa: D102  (what these do stands above)

    def __init__(self, tasks: dict[str, Any]) -> None:
        self.tasks = tasks

    def argument(self, order: Order) -> Call:
        return self.tasks["ship"], (order,), {}

    def hundred(self, orders: list[Order]) -> Call:
        return self.tasks["ship_many"], (orders,), {}

    def send(self, order: Order) -> Any:
        return self.tasks["ship"].delay(order)

    def signature(self, order: Order) -> Any:
        return self.tasks["ship"].si(order)


class Method(Instances):
    """``@model_task`` under a serializer."""

    def __init__(self, name: str, tasks: dict[str, Any]) -> None:
        super().__init__(tasks)
        self.name = name

    @cached_property
    def task(self) -> Any:
        """The method's task."""
        return getattr(Order, self.name).task

    def method(self, order: Order) -> Call:
        return self.task, (), {"this": ModelReference.of(order).as_plain()}

    def send(self, order: Order) -> Any:
        return getattr(order, self.name).delay()

    def signature(self, order: Order) -> Any:
        return getattr(order, self.name).si()


CONTENDERS: Final[dict[str, Contender]] = {
    FLOOR: Contender(),
    AGAIN: Contender(),
    DJANGO_CEREAL: Instances(tasks.DJANGO_CEREAL),
    PICKLE: Instances(tasks.PICKLE),
    METHOD_PICKLE: Method("ship", tasks.CEREAL_PICKLE),
    METHOD_CEREAL_JSON: Method("ship_cereal_json", tasks.CEREAL_JSON),
    METHOD_JSON: Method("ship_json", tasks.BY_HAND),
}


def environment_of(name: str) -> dict[str, str]:
    """Return what a process of the contender's has in its environment."""
    found = {"BENCH_CONTENDER": name, "PYTHONHASHSEED": "0"}
    if name == DJANGO_CEREAL:
        found["PYTHONPATH"] = os.environ.get("BENCH_DJANGO_CEREAL", "")
    if name in (DJANGO_CEREAL, PICKLE):
        # Celery refuses to unpickle as root; here it is the benchmark's own messages.
        found |= {"BENCH_ACCEPT": "pickle", "C_FORCE_ROOT": "1"}
    return found


def current() -> Contender:
    """Return the contender whose process this is."""
    return CONTENDERS[os.environ["BENCH_CONTENDER"]]
