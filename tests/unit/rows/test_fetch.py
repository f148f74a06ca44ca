"""Fetching: references in, fresh instances out."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from cereal_methods import ModelReference, fetch
from cereal_methods.exceptions import InvalidMessage, UnknownDatabase, UnknownModel
from cereal_methods.rows.fetch import fetch_all, missing_error
from tests.shop.models import Customer, Gift, Line, Order, PaidOrder

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


def test_a_reference_gives_the_row_as_it_is_now(django_assert_num_queries: Any) -> None:
    order = Order.objects.create(status="new")
    reference = ModelReference.of(order)
    Order.objects.update(status="paid")

    with django_assert_num_queries(1):
        row = fetch(reference)

    assert row.status == "paid"


def test_each_model_and_database_costs_one_query(django_assert_num_queries: Any) -> None:
    orders = [Order.objects.create() for _ in range(3)]
    old = Order.objects.using("archive").create()
    customer = Customer.objects.create(name="Ada")
    rows = [orders[0], customer, orders[1], old, orders[2]]

    with (
        django_assert_num_queries(2, using="default"),
        django_assert_num_queries(1, using="archive"),
    ):
        result = fetch_all([ModelReference.of(row) for row in rows])

    assert result == rows
    assert [row._state.db for row in result] == ["default"] * 3 + ["archive", "default"]


def test_one_row_gives_one_object() -> None:
    order, other = Order.objects.create(), Order.objects.create()

    one, _, two = fetch_all([ModelReference.of(row) for row in (order, other, order)])

    assert one is two


def test_the_same_key_in_two_databases_gives_two_rows() -> None:
    here = Order.objects.create(pk=5, number="here")
    there = Order.objects.using("archive").create(pk=5, number="there")

    rows = fetch_all([ModelReference.of(there), ModelReference.of(here)])

    assert [order.number for order in rows] == ["there", "here"]


def test_a_proxy_arrives_as_its_own_class() -> None:
    Order.objects.create()

    assert type(fetch(ModelReference.of(PaidOrder.objects.get()))) is PaidOrder


def test_a_row_with_a_parent_arrives_as_the_child() -> None:
    gift = Gift.objects.create(message="for you", city="Delft")

    row = fetch(ModelReference.of(gift))

    assert type(row) is Gift
    assert (row.message, row.city) == ("for you", "Delft")


def test_a_composite_key_finds_its_row(django_assert_num_queries: Any) -> None:
    order = Order.objects.create()
    lines = [Line.objects.create(order=order, position=position) for position in (1, 2, 3)]

    with django_assert_num_queries(1):
        rows = fetch_all([ModelReference.of(lines[2]), ModelReference.of(lines[0])])

    assert [line.position for line in rows] == [3, 1]


def test_the_base_manager_fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hiding(models.Manager[Order]):
        def get_queryset(self) -> models.QuerySet[Order]:
            return super().get_queryset().none()

    order = Order.objects.create()
    hiding = Hiding()
    hiding.model = Order
    monkeypatch.setitem(vars(Order._meta), "default_manager", hiding)

    assert not Order._default_manager.exists()
    assert fetch(ModelReference.of(order)) == order


def test_an_empty_list_of_references_costs_no_query(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert fetch_all([]) == []


@pytest.mark.parametrize("others", [0, 1])
def test_a_row_that_is_gone_raises_its_models_own_error(others: int) -> None:
    order = Order.objects.create(pk=5)
    rows = [order, *(Order.objects.create() for _ in range(others))]
    references = [ModelReference.of(row) for row in rows]
    order.delete()

    with pytest.raises(Order.DoesNotExist) as caught:
        fetch_all(references)

    assert str(caught.value) == (
        "shop.Order 5 in database 'default' does not exist: deleted after the task was sent, or "
        "not committed yet when the task ran."
    )
    assert caught.value.references == [references[0]]  # type: ignore[attr-defined]


def test_the_error_names_all_rows_that_are_gone() -> None:
    references = [
        ModelReference("shop.Order", 5, "default"),
        ModelReference("shop.Customer", 7, "archive"),
        ModelReference("shop.Order", 5, "default"),
    ]

    with pytest.raises(Order.DoesNotExist) as caught:
        fetch_all(references)

    assert str(caught.value) == (
        "shop.Order 5 in database 'default', shop.Customer 7 in database 'archive' do not exist: "
        "deleted after the task was sent, or not committed yet when the task ran."
    )


def test_the_error_names_five_rows_and_counts_the_others() -> None:
    error = missing_error([ModelReference("shop.Order", pk, "default") for pk in range(1, 9)])

    named = ", ".join(f"shop.Order {pk} in database 'default'" for pk in range(1, 6))
    assert str(error) == (
        f"{named}, 3 more do not exist: deleted after the task was sent, or not committed yet "
        "when the task ran."
    )


def test_an_alias_that_is_not_in_databases_is_an_unknown_database() -> None:
    with pytest.raises(UnknownDatabase) as caught:
        fetch(ModelReference("shop.Order", 5, "elsewhere"))

    assert str(caught.value) == (
        "A message refers to a row of shop.Order in the database 'elsewhere', which is not in "
        "DATABASES here ('default', 'archive'). Give every process that sends or runs tasks the "
        "same aliases."
    )
    assert caught.value.about == "elsewhere"


def test_an_unknown_model_raises_before_anything_is_queried(
    django_assert_num_queries: Any,
) -> None:
    references = [
        ModelReference("shop.Order", 5, "default"),
        ModelReference("shop.Gone", 5, "default"),
    ]

    with django_assert_num_queries(0), pytest.raises(UnknownModel):
        fetch_all(references)


@pytest.mark.parametrize(
    ("label", "key"), [("shop.Order", "abc"), ("shop.Document", "nope"), ("shop.Day", "5")]
)
def test_a_key_of_another_type_is_an_invalid_message(label: str, key: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        fetch(ModelReference(label, key, "default"))

    assert str(caught.value).startswith(
        f"A message refers to {label} by a primary key of the wrong type: {key!r}. "
    )
