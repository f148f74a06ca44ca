"""Messages with more references than one query has room for."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cereal_methods.rows.fetch import fetch_all
from cereal_methods.rows.reference import QuerySetReference
from tests.shop.models import Line, Order


@pytest.mark.parametrize(("count", "queries"), [(10_000, 1), (25_000, 3)])
def test_keys_are_fetched_10_000_at_a_time(count: int, queries: int) -> None:
    orders = Order.objects.bulk_create([Order(pk=pk) for pk in (1, 2, count)])
    reference = QuerySetReference("shop.Order", tuple(range(count, 0, -1)), "default")

    with CaptureQueriesContext(connection) as asked:
        (rows,) = fetch_all([reference])

    assert rows == orders[::-1]
    assert len(asked) == queries


def test_keys_of_several_columns_are_fetched_too() -> None:
    order = Order.objects.create(pk=1)
    lines = Line.objects.bulk_create([Line(order=order, position=at) for at in (1, 11_999)])
    keys = tuple((1, position) for position in range(12_000))

    with CaptureQueriesContext(connection) as asked:
        (rows,) = fetch_all([QuerySetReference("shop.Line", keys, "default")])

    assert rows == lines
    assert len(asked) == 3
