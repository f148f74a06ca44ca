"""References of model instances."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps
from django.utils.safestring import mark_safe
from kombu.exceptions import EncodeError
from kombu.serialization import registry

from cereal_methods import ModelReference, fetch
from cereal_methods.exceptions import UnknownModel, UnsavedInstance, UnsupportedKey
from cereal_methods.rows.reference import QuerySetReference, reference_of, single_row
from cereal_methods.rows.wire import reference_from_plain, reference_from_wire
from tests.shop.models import (
    Country,
    Day,
    Document,
    Gift,
    Instant,
    Line,
    Order,
    PaidOrder,
    Price,
)

from ..bodies import stored

UUID = uuid.UUID("0b9f8a3e-7f1f-4f43-9e0c-0a1b2c3d4e5f")
NOON = datetime.datetime(2026, 2, 28, 12, 30, 1, 250, tzinfo=datetime.UTC)

KEYS: dict[str, tuple[type[models.Model], dict[str, Any], Any]] = {
    "integer": (Order, {"pk": 5}, 5),
    "uuid": (Document, {"pk": UUID}, UUID),
    "string": (Country, {"pk": "nl"}, "nl"),
    "date": (Day, {"pk": datetime.date(2026, 2, 28)}, datetime.date(2026, 2, 28)),
    "datetime": (Instant, {"pk": NOON}, NOON),
    "decimal": (Price, {"pk": decimal.Decimal("9.90")}, decimal.Decimal("9.90")),
    "composite": (Line, {"order_id": 5, "position": 2}, (5, 2)),
    "parent link": (Gift, {"id": 5, "order_ptr_id": 5}, 5),
}


@pytest.fixture(params=KEYS)
def keyed(request: pytest.FixtureRequest) -> tuple[models.Model, Any]:
    """An instance of each kind of key, and the key."""
    model, fields, key = KEYS[request.param]
    return stored(model, **fields), key


def test_a_reference_has_the_label_the_key_and_the_database(keyed: Any) -> None:
    instance, key = keyed

    reference = ModelReference.of(instance)

    assert reference == ModelReference(instance._meta.label, key, "default")
    assert type(reference.pk) is type(key)


def test_the_wire_form_of_a_reference_is_read_back_equal(keyed: Any) -> None:
    reference = ModelReference.of(keyed[0])

    again = reference_from_wire(reference.as_wire())

    assert again == reference
    assert type(again.pk) is type(reference.pk)


def test_the_plain_form_of_a_reference_is_read_back_equal(keyed: Any) -> None:
    reference = ModelReference.of(keyed[0])

    assert reference.as_plain() == {"cereal_methods.reference": reference.as_wire()}
    assert reference_from_plain(reference.as_plain()) == reference


@pytest.mark.parametrize(
    ("assigned", "model", "key"),
    [
        ("5", Order, 5),
        (str(UUID), Document, UUID),
        ("2026-02-28", Day, datetime.date(2026, 2, 28)),
        ("9.90", Price, decimal.Decimal("9.90")),
        (mark_safe("nl"), Country, "nl"),
    ],
)
def test_a_key_assigned_in_another_type_is_converted(
    assigned: Any, model: type[models.Model], key: Any
) -> None:
    reference = ModelReference.of(stored(model, pk=assigned))

    assert reference.pk == key
    assert type(reference.pk) is type(key)


def test_equal_references_have_equal_hashes() -> None:
    order = ModelReference.of(stored(Order, pk=5))
    same = ModelReference.of(stored(Order, pk="5"))

    assert order == same
    assert hash(order) == hash(same)


@pytest.mark.parametrize(
    "other",
    [
        ModelReference("shop.Order", 6, "default"),
        ModelReference("shop.Order", 5, "archive"),
        ModelReference("shop.PaidOrder", 5, "default"),
        ModelReference("shop.Order", "5", "default"),
    ],
)
def test_references_of_other_rows_are_not_equal(other: ModelReference) -> None:
    assert ModelReference("shop.Order", 5, "default") != other


def test_a_reference_cannot_be_changed() -> None:
    reference = ModelReference("shop.Order", 5, "default")

    with pytest.raises(AttributeError, match="cannot assign to field 'pk'"):
        reference.pk = 6  # type: ignore[misc]


def test_a_proxy_model_is_kept() -> None:
    assert ModelReference.of(stored(PaidOrder, pk=5)).model is PaidOrder


def test_the_repr_names_the_row_and_shows_no_field() -> None:
    order = stored(Order, pk=5, city="Secretville")

    assert repr(ModelReference.of(order)) == "<shop.Order 5>"


def test_the_repr_of_a_composite_key_is_a_tuple() -> None:
    assert repr(ModelReference.of(stored(Line, order_id=5, position=2))) == "<shop.Line (5, 2)>"


@pytest.mark.django_db
def test_a_deferred_instance_is_referred_to_without_a_query(
    django_assert_num_queries: Any,
) -> None:
    pk = Order.objects.create().pk
    order = Order.objects.only("id").get()

    with django_assert_num_queries(0):
        assert ModelReference.of(order) == ModelReference("shop.Order", pk, "default")


def test_a_row_of_another_database_is_fetched_from_there() -> None:
    assert ModelReference.of(stored(Order, "archive", pk=5)).using == "archive"


def test_a_row_read_from_a_replica_is_fetched_from_its_primary() -> None:
    assert ModelReference.of(stored(Order, "replica", pk=5)).using == "default"


@pytest.mark.parametrize("order", [Order(), Order(pk=5)], ids=["no key", "key but no row"])
def test_an_unsaved_instance_is_refused(order: Order) -> None:
    with pytest.raises(UnsavedInstance) as caught:
        ModelReference.of(order)

    assert str(caught.value) == (
        "This shop.Order has no row in the database: it was never saved, or it was deleted. Only "
        "saved instances can be passed to a task; save it first."
    )
    assert caught.value.about == "shop.Order"


@pytest.mark.django_db
def test_a_deleted_instance_is_refused() -> None:
    order = Order.objects.create()
    order.delete()

    with pytest.raises(UnsavedInstance):
        ModelReference.of(order)


def test_half_a_composite_key_is_refused() -> None:
    with pytest.raises(UnsavedInstance):
        ModelReference.of(stored(Line, order_id=5))


@isolate_apps("tests.shop")
def test_a_key_of_an_unknown_type_is_refused() -> None:
    class Blob(models.Model):
        key = models.BinaryField(primary_key=True)

        class Meta:
            app_label = "shop"

    with pytest.raises(UnsupportedKey) as caught:
        ModelReference.of(stored(Blob, key=b"abc"))

    assert str(caught.value) == (
        "The primary key of shop.Blob is a bytes, which references cannot carry. They carry "
        "integers, strings, UUIDs, dates, times, decimals and composites of these."
    )
    assert caught.value.about is bytes


@pytest.mark.parametrize("label", ["shop.Gone", "gone.Order", "Order", ""])
def test_a_model_that_is_not_installed_is_an_unknown_model(label: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        ModelReference(label, 5, "default").model  # noqa: B018

    assert str(caught.value) == (
        f"This process has no model {label!r}, which a message refers to. Add its app to "
        "INSTALLED_APPS here, or deploy the code that has the model before sending. If it was "
        "renamed or moved, add it to CEREAL_METHODS['MODEL_ALIASES']."
    )
    assert caught.value.about == label


def test_a_renamed_model_is_found_by_its_former_label(settings: Any) -> None:
    settings.CEREAL_METHODS = {"MODEL_ALIASES": {"shop.Purchase": "shop.Order"}}

    assert ModelReference("shop.Purchase", 5, "default").model is Order


@pytest.mark.parametrize(
    "reference",
    [ModelReference("shop.Order", 5, "default"), QuerySetReference("shop.Order", (5, 6), "x")],
)
def test_celerys_own_json_refuses_a_reference(reference: Any) -> None:
    with pytest.raises(EncodeError) as caught:
        registry.dumps([reference], "json")

    assert str(caught.value) == (
        f"Celery's json serializer cannot carry {reference!r}: of a method's instances it carries "
        "only self. Send the task with serializer='cereal-json'."
    )


def test_a_lazy_row_has_the_reference_that_it_came_with() -> None:
    reference = ModelReference("shop.Order", 5, "archive")

    assert ModelReference.of(reference.lazy(fetch)) is reference  # type: ignore[arg-type]


def test_a_reference_names_each_of_its_rows() -> None:
    order = ModelReference("shop.Order", 5, "default")

    assert order.each() == [order]
    assert QuerySetReference("shop.Order", (5, 6), "default").each() == [
        order,
        ModelReference("shop.Order", 6, "default"),
    ]


def test_a_bulk_of_one_row_is_that_row() -> None:
    order = ModelReference("shop.Order", 5, "default")
    both = QuerySetReference("shop.Order", (5, 6), "default")

    assert single_row(QuerySetReference("shop.Order", (5,), "default")) == order
    assert single_row(order) is order
    assert single_row(both) is both


def test_the_plain_form_of_rows_is_read_back_equal() -> None:
    rows = QuerySetReference("shop.Order", (5, 6), "default")

    assert reference_from_plain(rows.as_plain()) == rows


def test_a_value_without_a_row_has_no_reference() -> None:
    assert reference_of("shop.Order") is None
