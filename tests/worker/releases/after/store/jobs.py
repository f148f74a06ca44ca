"""Tasks around orders."""

from __future__ import annotations

from cereal_methods import task

from .models import Order


@task(name="store.tasks.numbers")  # where it was before
def numbers(orders: list[Order]) -> list[str]:
    """Return the numbers of some orders."""
    return [order.number for order in orders]
