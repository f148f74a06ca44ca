"""Which of a function's parameters the options in ``rows`` are for."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from cereal_methods import task
from cereal_methods.exceptions import InvalidModelTask
from cereal_methods.rows.fetch import fetch_all
from cereal_methods.rows.reference import ModelReference
from cereal_methods.testing import record_tasks
from tests.shop.models import Customer, Order

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]

#: The manager of paid orders alone: it hides all others.
PAID = {"manager": "paid"}


@pytest.fixture
def paid() -> Order:
    return Order.objects.create(number="paid", status="paid")


@pytest.fixture
def unpaid() -> Order:
    return Order.objects.create(number="unpaid")


def numbers(first: Any, *rest: Any, flag: Any = None) -> list[str]:
    return [row.number for row in (first, *rest, flag) if row is not None]


def outcome(sent: Any, *args: Any, **kwargs: Any) -> Any:
    """Return what a task returns, or the type of what it raises."""
    with record_tasks() as tasks:
        result = sent.delay(*args, **kwargs)
        tasks.run(propagate=False)
        value = result.get(propagate=False)
    return type(value) if isinstance(value, Exception) else value


def test_options_of_a_keyword_do_not_apply_to_further_positional_arguments(
    paid: Order, unpaid: Order
) -> None:
    sent = task(rows={"flag": PAID})(numbers)

    assert outcome(sent, unpaid, unpaid, flag=paid) == ["unpaid", "unpaid", "paid"]
    assert outcome(sent, paid, paid, flag=unpaid) is Order.DoesNotExist


def test_options_of_further_positional_arguments_apply_to_each(paid: Order, unpaid: Order) -> None:
    sent = task(rows={"rest": PAID})(numbers)

    assert outcome(sent, unpaid, paid, paid, flag=unpaid) == ["unpaid", "paid", "paid", "unpaid"]
    assert outcome(sent, paid, paid, paid, unpaid) is Order.DoesNotExist


def test_a_row_in_two_parameters_is_fetched_by_the_options_of_each(
    paid: Order, django_assert_num_queries: Any
) -> None:
    def customers(document: Any, other: Any) -> list[Any]:
        return [document._state.fields_cache.keys() >= {"customer"}, other.number]

    sent = task(rows={"document": {"select_related": "customer"}})(customers)

    assert outcome(sent, paid, paid) == [True, "paid"]
    assert outcome(sent, document=paid, other=paid) == [True, "paid"]


def test_a_parameter_without_a_row_needs_no_fetch(paid: Order) -> None:
    sent = task(rows={"flag": PAID, "rest": PAID})(numbers)

    assert outcome(sent, paid, flag=None) == ["paid"]


def test_a_function_without_positional_parameters_takes_keywords(unpaid: Order) -> None:
    def go(*, flag: Any) -> str:
        return str(flag.number)

    assert outcome(task(rows={"flag": PAID})(go), flag=unpaid) is Order.DoesNotExist


def test_options_do_not_apply_to_unnamed_keywords() -> None:
    def go(first: Any, **more: Any) -> None:
        raise NotImplementedError

    with pytest.raises(InvalidModelTask, match="rows names 'more'"):
        task(rows={"more": PAID})(go)


def test_rows_of_several_models_are_fetched_in_a_fixed_order(paid: Order) -> None:
    rows: list[models.Model] = [paid, Customer.objects.create(name="Ann")]
    references = [ModelReference.of(row) for row in rows]
    asked = []

    def query(model: Any, using: str, keys: list[Any]) -> dict[Any, Any]:
        asked.append(model)
        return {row.pk: row for row in rows if type(row) is model}

    fetch_all(references, query=query)
    fetch_all(references[::-1], query=query)

    assert asked == [Customer, Order, Customer, Order]


def test_options_of_a_parameter_apply_to_the_rows_of_a_queryset(paid: Order, unpaid: Order) -> None:
    def numbers_of(first: Order, rows: list[Order]) -> list[str]:
        return [first.number, *(row.number for row in rows)]

    sent = task(rows={"rows": PAID})(numbers_of)

    assert outcome(sent, unpaid, Order.paid.order_by("pk")) == ["unpaid", "paid"]
