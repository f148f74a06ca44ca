"""Inherited, overridden and mixed-in model tasks: Python's rules for methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import models

from cereal_methods import model_task
from cereal_methods.exceptions import InvalidModelTask
from tests.celery import app
from tests.shop.models import Gift, Order, PaidManager, PaidOrder

from ..bodies import stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]

Sent = Callable[[], list[Any]]


class Meta:
    app_label = "shop"


class ProxyMeta(Meta):
    proxy = True


class Greeting:
    """A mixin that is not a model."""

    @model_task
    def greet(self, name: str = "you") -> list[str]:
        return [type(self).__name__, name]


class Polite(Greeting):
    @model_task(rate_limit="5/m")
    def greet(self, name: str = "you") -> list[str]:
        return ["dear", *super().greet(name)]


class Loud(Greeting):
    def greet(self, name: str = "you") -> list[str]:
        return ["HEY", *super().greet(name)]


def proxy(name: str, *bases: type, **body: Any) -> Any:
    """Return a proxy of orders with a name, some bases and a body."""
    return type(name, (*bases, Order), {"Meta": ProxyMeta, "__module__": __name__, **body})


def of(model: Any) -> Any:
    """Return a row of ``model``, fetched as one."""
    return model.objects.get(pk=Order.objects.create().pk)


def test_every_concrete_subclass_of_an_abstract_model_has_its_own_task() -> None:
    class Base(models.Model):
        Meta = type("Meta", (Meta,), {"abstract": True})

        @model_task
        def go(self) -> str:
            return type(self).__name__

    one = type("One", (Base,), {"Meta": Meta, "__module__": "shop"})
    two = type("Two", (Base,), {"Meta": Meta, "__module__": "shop"})

    assert [one.go.name, two.go.name] == ["shop.One.go", "shop.Two.go"]
    assert one.go.task is not two.go.task
    assert [model.go.task(this=stored(model, pk=5)) for model in (one, two)] == ["One", "Two"]
    assert [name for name in app.tasks if name.endswith("Base.go")] == []


@pytest.mark.parametrize("model", [Gift, PaidOrder])
def test_a_child_of_a_concrete_model_has_its_own_task(model: Any) -> None:
    assert model.ship.name == f"tests.shop.models.{model.__name__}.ship"
    assert model.ship.task is not Order.ship.task
    assert model.ship.task.run.__qualname__ == f"{model.__name__}.ship"


@pytest.mark.parametrize("model", [Order, Gift, PaidOrder])
def test_the_task_runs_on_a_row_of_its_own_class(model: Any) -> None:
    row = model.objects.create()

    (fetched, named) = row.itself.apply().get()

    assert type(fetched) is model
    assert fetched == row
    assert named == {}


def test_the_parents_task_runs_on_a_row_of_the_child() -> None:
    gift = Gift.objects.create()

    fetched, _ = Order.itself.apply((gift,)).get()

    assert type(fetched) is Gift
    assert Order.itself.name == "tests.shop.models.Order.itself"


def test_the_childs_task_does_not_run_on_a_row_of_the_parent() -> None:
    order = Order.objects.create()

    with pytest.raises(InvalidModelTask) as caught:
        PaidOrder.ship.task("dhl", this=order)

    assert str(caught.value) == (
        "The task tests.shop.models.PaidOrder.ship was sent for Order and not for an instance of "
        "shop.PaidOrder. Send it as instance.method.delay()."
    )


def test_a_method_of_a_mixin_has_a_task_on_every_model() -> None:
    row = of(proxy("Greeted", Greeting))

    assert row.greet.name == f"{__name__}.Greeted.greet"
    assert row.greet.apply(("Ada",)).get() == row.greet("Ada") == ["Greeted", "Ada"]


def test_an_overriding_task_calls_the_one_it_overrides() -> None:
    row = of(proxy("Politely", Polite))

    assert row.greet.task.rate_limit == "5/m"
    assert row.greet.apply().get() == row.greet() == ["dear", "Politely", "you"]


def test_a_call_goes_through_every_class_in_the_order_of_resolution() -> None:
    row = of(proxy("Loudly", Polite, Loud))

    assert row.greet.apply().get() == row.greet() == ["dear", "HEY", "Loudly", "you"]


def test_a_method_of_a_mixin_overrides_that_of_the_model() -> None:
    class Carrier:
        @model_task
        def ship(self, carrier: str, **options: Any) -> Any:
            return ["mixin", super().ship(carrier, **options)]  # type: ignore[misc]

    row = of(proxy("Mixed", Carrier))

    assert row.ship.apply(("dhl",)).get() == ["mixin", "shipped"]
    assert Order.ship.apply((row, "dhl")).get() == "shipped"


def test_a_method_overridden_without_the_decorator_is_not_a_task() -> None:
    row = of(proxy("Undecorated", Loud))

    assert row.greet() == ["HEY", "Undecorated", "you"]
    assert not hasattr(row.greet, "delay")
    assert f"{__name__}.Undecorated.greet" not in app.tasks


def test_a_task_overridden_with_none_does_not_exist() -> None:
    model = proxy("Without", Greeting, greet=None)

    assert model.greet is None
    assert f"{__name__}.Without.greet" not in app.tasks


def test_the_task_of_the_parent_runs_the_method_of_the_parent() -> None:
    def ship(self: Any, carrier: str) -> str:
        return "overridden"

    row = of(proxy("Overridden", ship=ship))

    assert row.ship("dhl") == "overridden"
    assert Order.ship.apply((row, "dhl")).get() == Order.ship(row, "dhl") == "shipped"


def test_a_task_of_super_is_sent_as_the_method_that_super_calls(sent: Sent) -> None:
    @model_task
    def ship(self: Any, carrier: str) -> str:
        return "overridden"

    model = proxy("Super", ship=ship)
    row = stored(model, pk=5)

    super(model, row).ship.delay("dhl")

    (message,) = sent()
    assert message.headers["task"] == "tests.shop.models.Order.ship"


def test_super_sends_the_parents_task_if_the_child_has_none(sent: Sent) -> None:
    def ship(self: Any, carrier: str) -> str:
        return "overridden"

    model = proxy("Supers", ship=ship)

    super(model, stored(model, pk=5)).ship.delay("dhl")

    (message,) = sent()
    assert message.headers["task"] == "tests.shop.models.Order.ship"


def test_a_class_method_runs_on_the_class_that_it_was_sent_from() -> None:
    assert Order.number_all.task(["a"]) == ["Order", "a"]
    assert Gift.number_all.task(["a"]) == ["Gift", "a"]
    assert Gift.number_all.name == "tests.shop.models.Gift.number_all"


def test_an_inherited_manager_has_tasks_on_every_model() -> None:
    of(PaidOrder)
    Order.objects.update(status="paid")
    Gift.objects.create(status="paid")

    assert [model.paid.count_all.name for model in (Order, PaidOrder, Gift)] == [
        "tests.shop.models.Order.paid.count_all",
        "tests.shop.models.PaidOrder.paid.count_all",
        "tests.shop.models.Gift.paid.count_all",
    ]
    assert [model.paid.count_all.task() for model in (Order, PaidOrder, Gift)] == [2, 2, 1]


def test_every_manager_of_a_class_has_its_own_tasks() -> None:
    model = proxy("Managed", first=PaidManager(), second=PaidManager())

    assert [model.first.count_all.name, model.second.count_all.name] == [
        f"{__name__}.Managed.first.count_all",
        f"{__name__}.Managed.second.count_all",
    ]


def test_the_default_manager_is_sent_under_its_name() -> None:
    model = proxy("Default", paid_ones=PaidManager())

    assert model._default_manager.count_all.name == f"{__name__}.Default.paid_ones.count_all"


def test_a_method_added_to_a_finished_class_is_a_task_there_and_on_its_children() -> None:
    def add(self: Any) -> str:
        return type(self).__name__

    model = proxy("Late")
    child = type("Child", (model,), {"Meta": ProxyMeta, "__module__": __name__})
    model.add_to_class("late", model_task(add))

    assert model.late.name == f"{__name__}.Late.late"
    assert child.late.name == f"{__name__}.Child.late"
    assert of(child).late.apply().get() == "Child"
