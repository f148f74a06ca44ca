"""What processes of a release of the shop in ``releases`` send and read.

``python -m tests.worker.programs.release NAME JSON`` calls the function of that name with a value,
and prints what it returns as JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django

import tests.celery  # noqa: F401  (the app)

django.setup()

from celery import chain, chord  # noqa: E402
from celery.result import AsyncResult  # noqa: E402

from cereal_methods import BulkResult  # noqa: E402


def begin(given: None) -> dict[str, str]:
    """Send what old workers begin, and leave to new ones; return the ids."""
    from store.models import Purchase

    a, b, c = Purchase.objects.bulk_create(Purchase(number=number) for number in "abc")
    begun = {
        "returned": a.itself.delay(),
        "retried": b.insist.delay(),
        "timed": c.receipt.apply_async(["timed"], countdown=8),
    }
    begun["returned"].get(timeout=100, disable_sync_subtasks=False)
    return {name: result.id for name, result in begun.items()}


def send(serializer: str) -> tuple[dict[str, str], str]:
    """Send as the old code does, while there is no worker; return the ids, and that of a bulk."""
    from store.models import Purchase
    from store.tasks import numbers

    a, b, c = Purchase.objects.order_by("number")
    for name in ("pay", "receipt"):
        getattr(Purchase, name).task.serializer = serializer
    sent = {
        "method": a.pay.delay(1),
        "alone": a.receipt.delay(1),
        "inherited": a.note.delay("noted"),
        "chain": chain(b.pay.s(2), b.receipt.s(), c.receipt.s()).delay(),
        "chord": chord([a.receipt.s(), b.receipt.s()], c.receipt.s()).delay(),
        "function": numbers.delay([a, b]),
        "rows": numbers.delay(Purchase.objects.order_by("-number")),
    }
    bulk = Purchase.pay.bulk_apply_async([a, b, c], [10], batch_size=2)
    bulk.save()
    return {name: result.id for name, result in sent.items()}, bulk.id


def read(given: tuple[dict[str, str], str]) -> tuple[dict[str, Any], list[int]]:
    """Return the results of tasks, by name, and the counts of a bulk."""
    ids, bulk_id = given
    values = {}
    for name, task_id in ids.items():
        value = AsyncResult(task_id).get(timeout=100)
        is_row = hasattr(value, "_meta")
        values[name] = f"{value._meta.label} {value.number}" if is_row else value
    bulk: Any = BulkResult.restore(bulk_id)
    counts = bulk.wait(timeout=100)
    return values, [counts.succeeded, counts.failed, counts.missing]


def send_back(serializer: str) -> list[Any]:
    """Send as the new code does to workers of the old one, and return the results."""
    from store.models import Order
    from store.tasks import numbers

    orders = Order.objects.bulk_create(Order(number=number) for number in "ab")
    Order.charge.task.serializer = serializer
    results = [orders[0].charge.delay(3), numbers.delay(orders)]
    return [result.get(timeout=100, disable_sync_subtasks=False) for result in results]


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](json.loads(sys.argv[2]))))
