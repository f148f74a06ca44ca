"""Rows that change while a bulk reads their keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery.signals import after_task_publish
from django.db import connection

from tests.shop.models import Order

MANY = 5000


def change(keys: list[int]) -> None:
    """Change rows in a session of its own: ones that were read, and ones that were not."""
    Order.objects.filter(pk__in=[keys[0], keys[-1]]).delete()
    Order.objects.filter(pk__gt=keys[10]).update(number="changed")
    Order.objects.bulk_create(Order(number="new") for _ in range(100))
    connection.close()


def test_what_changes_meanwhile_is_neither_skipped_nor_repeated(nowhere: str) -> None:
    rows = Order.objects.bulk_create(Order(number=str(i)) for i in range(MANY))
    keys = [row.pk for row in rows]
    sent: list[Any] = []

    def on_publish(body: Any, **kwargs: Any) -> None:
        sent.extend(body[1]["this"]["cereal_methods.reference"][1])
        if len(sent) == 10:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(change, keys).result()

    after_task_publish.connect(on_publish)
    try:
        result = Order.trace.bulk_apply_async(
            Order.objects.exclude(number="changed"), batch_size=10, queue=nowhere
        )
    finally:
        after_task_publish.disconnect(on_publish)

    assert sent == keys
    assert result.total == MANY
    assert Order.objects.filter(number="changed").count() == MANY - 12
