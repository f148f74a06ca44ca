"""Former names of tasks and models in messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from cereal_methods import ModelReference, model_task
from cereal_methods.rows.reference import QuerySetReference
from tests.celery import app
from tests.shop.models import Gift, Order, PaidOrder

from ..bodies import stored, trip, unpack
from .messages import sent_call

pytestmark = pytest.mark.django_db

Sent = Callable[[], list[Any]]

#: A model that was renamed.
RENAMED = {"MODEL_ALIASES": {"shop.Purchase": "shop.Order"}}


def received(message: Any) -> Any:
    """Return what the task of a message returns."""
    args, kwargs, _ = message.payload
    return app.tasks[message.headers["task"]](*args, **kwargs)


def test_a_custom_name_is_sent(sent: Sent) -> None:
    stored(Order, pk=5).bill.delay()

    (message,) = sent()
    assert message.headers["task"] == "shop.bill"
    assert Order.bill.name == "shop.bill"
    assert Order.bill.task is app.tasks["shop.bill"]
    assert "tests.shop.models.Order.bill" not in app.tasks


@pytest.mark.parametrize("alias", ["shop.invoice", "shop.charge"])
def test_a_message_sent_under_an_alias_runs(alias: str, sent: Sent) -> None:
    order = Order.objects.create(number="2026-0007")
    app.send_task(alias, kwargs={"this": order}, serializer="cereal-pickle")

    (message,) = sent()

    assert message.headers["task"] == alias
    assert received(message) == "2026-0007"


@pytest.mark.parametrize("alias", ["shop.invoice", "shop.charge"])
def test_an_alias_has_the_options_of_the_task(alias: str, new_models: None) -> None:
    @model_task(name=f"{alias}_all", aliases=[f"{alias}_old"], max_retries=7, rate_limit="1/h")
    def bill_all(self: Any) -> None: ...

    Order.add_to_class("bill_all", bill_all)

    old = app.tasks[f"{alias}_old"]
    assert [old.name, old.max_retries, old.rate_limit] == [f"{alias}_old", 7, "1/h"]
    assert old.serializer == Order.bill_all.task.serializer  # type: ignore[attr-defined]
    del Order.bill_all  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", [Gift, PaidOrder])
def test_a_child_is_sent_under_the_name_that_the_parent_gave(model: Any, sent: Sent) -> None:
    row = model.objects.create(number="2026-0007")

    row.bill.delay()

    (message,) = sent()
    assert message.headers["task"] == "shop.bill"
    assert sent_call(message)[1] == {"this": ModelReference.of(row)}
    assert received(message) == "2026-0007"


def test_a_child_may_give_another_name(new_models: None) -> None:
    class Cheap(Order):
        @model_task(name="shop.bill_cheaply")
        def bill(self) -> str:
            return f"cheap {super().bill()}"

        class Meta:
            app_label = "shop"
            proxy = True

    row = Cheap.objects.create()

    assert Cheap.bill.name == "shop.bill_cheaply"
    assert row.bill.apply().get() == "cheap 2026-0001"
    assert Order.bill.apply((row,)).get() == "2026-0001"


def test_a_signature_under_an_alias_runs() -> None:
    order = Order.objects.create()

    assert app.tasks["shop.charge"].s(this=order).apply().get() == "2026-0001"


@override_settings(CEREAL_METHODS=RENAMED)
@pytest.mark.parametrize("name", ["cereal-pickle", "cereal-json"])
def test_an_argument_with_a_former_label_becomes_a_row_of_the_new_model(name: str) -> None:
    order = Order.objects.create()

    (row,), _ = unpack(*trip(name, [ModelReference("shop.Purchase", order.pk, "default")])[:2])

    assert type(row) is Order
    assert row == order


@override_settings(CEREAL_METHODS=RENAMED)
def test_a_method_sent_for_a_former_label_runs(sent: Sent) -> None:
    order = Order.objects.create(number="2026-0007")
    this = ModelReference("shop.Purchase", order.pk, "default").as_plain()
    app.send_task("shop.charge", kwargs={"this": this}, serializer="json")

    (message,) = sent()

    assert received(message) == "2026-0007"


@override_settings(CEREAL_METHODS=RENAMED)
def test_a_queryset_sent_for_a_former_label_arrives() -> None:
    order = Order.objects.create()
    rows = QuerySetReference("shop.Purchase", (order.pk,), "default")

    assert unpack(*trip("cereal-json", [rows])[:2]) == (([order],), {})


@override_settings(CEREAL_METHODS=RENAMED)
def test_a_reference_is_sent_with_the_new_label() -> None:
    assert ModelReference.of(stored(Order, pk=5)).label == "shop.Order"


@override_settings(CEREAL_METHODS=RENAMED)
def test_one_row_under_both_labels_arrives_as_one_object() -> None:
    order = Order.objects.create()
    old, new = (
        ModelReference(label, order.pk, "default") for label in ("shop.Purchase", "shop.Order")
    )

    (one, other), _ = unpack(*trip("cereal-json", [old, new])[:2])

    assert one is other
