"""The result of a bulk, as its sender has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cereal_methods import BulkResult
from cereal_methods.exceptions import ResultsNotKept
from tests.celery import app
from tests.shop.models import Order

from .orders import orders

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

Sent = Callable[[], list[Any]]


def test_a_bulk_that_ignores_results_has_no_numbers(sent: Sent) -> None:
    rows = orders(2)

    result = Order.trace.bulk_apply_async(rows, ignore_result=True)

    assert result.total == 2
    assert [result.completed, result.succeeded, result.failed, result.missing] == [None] * 4
    assert result.progress() is None
    for ask in (result.get, result.ready, result.failures, result.save, result.wait):
        with pytest.raises(ResultsNotKept):
            ask()


@pytest.mark.parametrize("other", [5, [1, 2, 3, 4], "abc"])
def test_another_result_is_not_restored_as_a_bulk(other: Any) -> None:
    app.backend.store_result("not-a-bulk", other, "SUCCESS")

    assert BulkResult.restore("not-a-bulk") is None
