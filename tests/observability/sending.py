"""Send a method in a transaction of Sentry; the key of its order is the argument."""

from __future__ import annotations

import sys

import django

import tests.celery  # noqa: F401  (the app)

django.setup()

import sentry_sdk  # noqa: E402

from tests.shop.models import Order  # noqa: E402
from tests.shop.probe import mark  # noqa: E402

order = Order.objects.get(pk=sys.argv[1])
mark("sending")
with sentry_sdk.start_transaction(name="a request"):
    order.ship.delay("dhl").get(timeout=60)
