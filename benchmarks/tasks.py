"""The tasks that people write without this library, and functions that take instances with it."""

from __future__ import annotations

from typing import Any

from celery import shared_task

from cereal_methods import task as cereal_task

from .models import Order


@shared_task(serializer="json")
def ship(pk: int) -> None:
    """Fetch one order and run its method: the task that everybody writes."""
    Order.objects.get(pk=pk).plain()


@shared_task(serializer="json")
def ship_many(pks: list[int]) -> None:
    """Do the same for many, with one query."""
    for order in Order.objects.in_bulk(pks).values():
        order.plain()


@shared_task(serializer="json")
def count(numbers: list[int]) -> int:
    """Take a payload without any instance."""
    return len(numbers)


def taking_instances(decorate: Any, serializer: str) -> dict[str, Any]:
    """Return three such tasks that take instances, under a serializer."""

    def named(name: str) -> Any:
        return decorate(name=f"benchmarks.{serializer}.{name}", serializer=serializer)

    @named("ship")
    def ship(order: Order) -> None:
        order.plain()

    @named("ship_many")
    def ship_many(orders: list[Order]) -> None:
        for order in orders:
            order.plain()

    @named("count")
    def count(numbers: list[int]) -> int:
        return len(numbers)

    return {"ship": ship, "ship_many": ship_many, "count": count}


BY_HAND = {"ship": ship, "ship_many": ship_many, "count": count}
PICKLE = taking_instances(shared_task, "pickle")
DJANGO_CEREAL = taking_instances(shared_task, "django_cereal_pickle")
CEREAL_PICKLE = taking_instances(cereal_task, "cereal-pickle")
CEREAL_JSON = taking_instances(cereal_task, "cereal-json")
