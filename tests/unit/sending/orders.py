"""Orders to send in bulk."""

from __future__ import annotations

from tests.shop.models import Order


def orders(many: int = 5, using: str = "default") -> list[Order]:
    """Return new orders with the numbers 0, 1, ... in a database."""
    return Order.objects.using(using).bulk_create(Order(number=str(i)) for i in range(many))
