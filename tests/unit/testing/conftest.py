"""Orders that tests record tasks of."""

from __future__ import annotations

import pytest

from tests.shop.models import Order


@pytest.fixture
def order() -> Order:
    return Order.objects.create(pk=5)


@pytest.fixture
def other() -> Order:
    return Order.objects.create(pk=6)
