"""A test that prints the message which docs/testing.md shows, in the project of the page."""

from __future__ import annotations

from shop.models import Order


def test_message(db, recorded_tasks):
    order = Order.objects.create(pk=5)
    order.ship.apply_async(["ups"], countdown=60, queue="slow")
    order.notify.delay()
    try:
        recorded_tasks.assert_sent(order.ship, "dhl")
    except AssertionError as error:
        print(f"AssertionError: {error}")
