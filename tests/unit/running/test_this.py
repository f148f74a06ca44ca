"""The keyword ``this``: which row of which model it names."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods.exceptions import InvalidModelTask
from cereal_methods.rows.lazy import is_lazy
from cereal_methods.rows.reference import ModelReference, QuerySetReference
from cereal_methods.running.policy import RowPolicy
from cereal_methods.running.target import Target
from cereal_methods.running.this import (
    check_instance,
    make_this_lazy,
    names_batch,
    pop_this,
    reference_of_this,
)
from tests.shop.models import Customer, Gift, Order

from ..bodies import stored

TARGET = Target("shop.Order.ship", print, RowPolicy(), Order)
REFERENCE = ModelReference("shop.Order", 5, "default")
ROWS = QuerySetReference("shop.Order", (5, 6), "default")


def test_this_is_removed_from_the_arguments() -> None:
    kwargs = {"this": 5, "express": True}

    assert pop_this(TARGET, kwargs) == 5
    assert kwargs == {"express": True}
    with pytest.raises(InvalidModelTask, match="was sent without the row that it runs on"):
        pop_this(TARGET, kwargs)


@pytest.mark.parametrize("this", [5, REFERENCE, REFERENCE.as_plain(), stored(Order, pk=5)])
def test_this_names_a_row_in_any_form(this: Any) -> None:
    assert reference_of_this(TARGET, this) == REFERENCE


def test_this_may_name_a_row_of_a_child_model() -> None:
    reference = ModelReference("shop.Gift", 5, "default")

    assert reference_of_this(TARGET, reference) == reference


@pytest.mark.parametrize("this", ["secret", 5.5, None])
def test_a_value_that_is_not_a_key_is_not_quoted(this: Any) -> None:
    with pytest.raises(InvalidModelTask) as caught:
        reference_of_this(TARGET, this)

    assert "which is neither a primary key of shop.Order nor a reference" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_row_of_another_model_is_refused() -> None:
    with pytest.raises(InvalidModelTask) as caught:
        reference_of_this(TARGET, ModelReference("shop.Customer", 5, "default"))

    assert str(caught.value) == (
        "The task shop.Order.ship was sent for shop.Customer and not for an instance of "
        "shop.Order. Send it as instance.method.delay()."
    )


def test_an_instance_of_another_model_is_refused() -> None:
    check_instance(TARGET, Order())
    check_instance(TARGET, Gift())
    with pytest.raises(InvalidModelTask, match="was sent for Customer and not"):
        check_instance(TARGET, Customer())


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({"this": ROWS}, True),
        ({"this": ROWS.as_plain()}, True),
        ({"this": REFERENCE.as_plain()}, False),
        ({"this": 5}, False),
        ({}, False),
        (None, False),
    ],
    ids=str,
)
def test_a_batch_names_several_rows(kwargs: Any, expected: bool) -> None:
    assert names_batch(kwargs) is expected


@pytest.mark.parametrize("this", [5, REFERENCE, REFERENCE.as_plain()], ids=str)
def test_the_row_becomes_a_lazy_row(this: Any) -> None:
    kwargs = {"this": this}

    make_this_lazy(kwargs, Order)

    assert is_lazy(kwargs["this"])
    assert kwargs["this"].pk == 5


@pytest.mark.parametrize(
    ("this", "model"), [("no key", Order), (5, None), (ROWS, Order), (None, Order)], ids=str
)
def test_values_that_are_not_one_row_are_unchanged(this: Any, model: Any) -> None:
    kwargs = {"this": this}

    make_this_lazy(kwargs, model)

    assert kwargs == {"this": this}
    make_this_lazy(None, model)
