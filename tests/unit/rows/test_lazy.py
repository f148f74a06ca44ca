"""Lazy rows: their keys without a query, their fields with one."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from django.db import models

from cereal_methods import ModelReference, fetch
from cereal_methods.exceptions import UnsupportedValue
from cereal_methods.rows.lazy import LazyRow, LazyRows, is_lazy, lazy_reference
from cereal_methods.rows.reference import QuerySetReference, reference_of
from tests.shop.models import Customer, Order, PaidOrder

from ..bodies import stored

pytestmark = pytest.mark.django_db


def lazy(pk: int = 5) -> Any:
    """Return the lazy row of an order."""
    return ModelReference("shop.Order", pk, "default").lazy(fetch)


def test_the_key_and_the_reference_cost_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        row = lazy()
        assert (row.pk, row.id, row.label, row.using) == (5, 5, "shop.Order", "default")
        assert row.reference == ModelReference("shop.Order", 5, "default")
        assert repr(row) == "<shop.Order 5>"
        assert isinstance(row, Order)
        assert bool(row)


def test_a_field_costs_one_query(django_assert_num_queries: Any) -> None:
    row = lazy(Order.objects.create(number="one").pk)

    with django_assert_num_queries(1):
        assert (row.number, row.status) == ("one", "new")


def test_a_field_of_a_row_that_is_gone_raises_the_error_of_its_model() -> None:
    with pytest.raises(Order.DoesNotExist):
        lazy().number  # noqa: B018


def test_a_field_is_not_hidden_by_an_attribute_of_the_reference(new_models: None) -> None:
    class Labelled(models.Model):
        label = models.CharField(max_length=20)

        class Meta:
            app_label = "shop"

    reference = ModelReference("shop.Labelled", 5, "default")

    assert reference.lazy(lambda _: Labelled(label="red")).label == "red"  # type: ignore[attr-defined]


def test_a_lazy_row_equals_an_instance_of_the_same_row() -> None:
    assert lazy() == stored(Order, pk=5)
    assert lazy() == stored(PaidOrder, pk=5)
    assert lazy() == lazy()
    assert hash(lazy()) == hash(5)


@pytest.mark.parametrize("other", [5, None, "<shop.Order 5>"])
def test_a_lazy_row_does_not_equal_other_values(other: Any) -> None:
    assert lazy() != other


def test_a_lazy_row_does_not_equal_other_rows() -> None:
    assert lazy() != stored(Order, pk=6)
    assert lazy() != stored(Customer, pk=5)


def test_a_copy_is_fetched_separately(django_assert_num_queries: Any) -> None:
    row = lazy(Order.objects.create(number="one").pk)
    assert row.number == "one"
    Order.objects.update(number="two")

    with django_assert_num_queries(2):
        assert copy.copy(row).number == "two"
        assert copy.deepcopy([row])[0].number == "two"
    assert row.number == "one"


def test_a_lazy_row_pickles_as_its_reference(django_assert_num_queries: Any) -> None:
    row = lazy()

    with django_assert_num_queries(0):
        piped = pickle.dumps(row)
        again = pickle.loads(piped)

    assert type(again) is LazyRow
    assert again.reference == row.reference


def test_a_lazy_row_of_an_unknown_model_is_only_a_lazy_row() -> None:
    row: Any = ModelReference("shop.Gone", 5, "default").lazy(fetch)

    assert row.__class__ is LazyRow
    assert not isinstance(row, models.Model)


def test_celerys_json_refuses_a_lazy_row() -> None:
    with pytest.raises(UnsupportedValue):
        lazy().__json__()


def test_a_row_that_was_saved_as_a_copy_has_the_reference_of_the_copy() -> None:
    row = lazy(Order.objects.create(pk=5, number="one").pk)
    assert row.number == "one"

    row.pk = None
    row.id = None
    row.save()

    assert row.pk != 5
    assert lazy_reference(row) == ModelReference("shop.Order", row.pk, "default")
    assert reference_of(row) == lazy_reference(row)


def test_the_lazy_rows_of_a_queryset_are_a_list() -> None:
    reference = QuerySetReference("shop.Order", (5, 6), "default")

    rows = reference.lazy(fetch)

    assert [row.pk for row in rows] == [5, 6]
    assert rows.reference is reference
    assert reference_of(rows) is reference


def test_lazy_rows_are_distinguished_from_other_values() -> None:
    assert is_lazy(lazy())
    assert is_lazy(LazyRows(QuerySetReference("shop.Order", (), "default"), fetch))
    assert not is_lazy(stored(Order, pk=5))
    assert not is_lazy([])
