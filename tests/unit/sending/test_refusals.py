"""Uses of ``@model_task`` that are refused when they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.db import models

from cereal_methods import model_task
from cereal_methods.exceptions import SerializerNotAccepted
from tests.shop.models import Order, PaidManager, Stamped

from ..bodies import stored
from .definitions import refused

Sent = Callable[[], list[Any]]


class Shop:
    """No Django model."""

    @model_task
    def open(self) -> str:
        return "opened"


def go(self: Any) -> None:
    """Do nothing."""


@model_task
def on_function(order: Any) -> str:
    return "called"


SEND = [
    "delay",
    "apply_async",
    "delay_on_commit",
    "apply_async_on_commit",
    "apply",
    "s",
    "si",
    "signature",
]


@pytest.mark.parametrize("name", SEND)
def test_a_function_of_a_module_is_not_sent(name: str) -> None:
    assert refused(lambda: getattr(on_function, name)(Order())) == (
        "on_function cannot be sent: @model_task belongs on a method in the body of a Django "
        "model. For functions there is cereal_methods.task."
    )


def test_a_module_function_can_still_be_called() -> None:
    assert on_function(1) == "called"


@pytest.mark.parametrize("name", SEND)
@pytest.mark.parametrize("owner", [Shop, Shop()], ids=["class", "instance"])
def test_a_method_of_another_class_is_not_sent(owner: Any, name: str) -> None:
    assert refused(getattr(owner.open, name)) == (
        "Shop.open cannot be sent: Shop is not a Django model. For functions and other classes "
        "there is cereal_methods.task."
    )


def test_a_method_of_another_class_can_still_be_called() -> None:
    assert Shop().open() == "opened"


@pytest.mark.parametrize("name", SEND)
def test_a_method_of_an_abstract_model_is_not_sent(name: str) -> None:
    assert refused(lambda: getattr(Stamped.stamp, name)(stored(Order, pk=5), "x")) == (
        "Stamped.stamp cannot be sent from the abstract model Stamped, which has no rows. Use it "
        "from a concrete model."
    )


@pytest.mark.parametrize("name", ["name", "task"])
def test_an_abstract_model_has_no_task(name: str) -> None:
    assert refused(lambda: getattr(Stamped.stamp, name)).startswith("Stamped.stamp cannot be sent")


def test_a_manager_of_another_database_is_not_sent(sent: Sent) -> None:
    assert refused(Order.paid.db_manager("archive").count_all.delay) == (
        "PaidManager.count_all cannot be sent from this manager: a worker could not look it up. "
        "Send it from the manager on the model itself, as in Order.objects."
    )
    assert sent() == []


def test_a_related_manager_is_not_sent(new_models: None, sent: Sent) -> None:
    class Parcel(models.Model):
        order = models.ForeignKey(Order, models.CASCADE)
        objects = PaidManager()

        class Meta:
            app_label = "shop"

    assert refused(stored(Order, pk=5).parcel_set.count_all.delay) == (  # type: ignore[attr-defined]
        "PaidManager.count_all cannot be sent from this manager: a worker could not look it up. "
        "Send it from the manager on the model itself, as in Parcel.objects."
    )
    assert sent() == []


@pytest.mark.parametrize("name", ["add_locked", "add_nowait", "add_or_skip"])
def test_a_lock_that_the_database_does_not_have_is_refused(name: str, sent: Sent) -> None:
    assert refused(getattr(stored(Order, pk=5), name).delay) == (
        f"tests.shop.models.Order.{name} cannot be sent for <shop.Order 5>: its database 'default' "
        "(SQLite) has no select_for_update. Use another database, or take the option away."
    )
    assert sent() == []


@pytest.mark.parametrize("name", ["delay", "delay_on_commit"])
@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "Order.ship() missing 1 required positional argument: 'carrier'"),
        (("dhl",), {"fast": 1}, "Order.ship() got an unexpected keyword argument 'fast'"),
        (("dhl",), {"carrier": "ups"}, "Order.ship() got multiple values for argument 'carrier'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    name: str, args: Any, kwargs: Any, message: str, sent: Sent
) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(stored(Order, pk=5).ship, name)(*args, **kwargs)

    assert str(caught.value) == message
    assert sent() == []


@pytest.mark.parametrize("value", [5, "5", None])
def test_a_primary_key_in_the_place_of_the_instance_is_refused(value: Any) -> None:
    kind = "nothing" if value is None else type(value).__name__

    assert refused(lambda: Order.ship.delay(value, "dhl")) == (
        f"On the class, Order.ship takes an instance of shop.Order first, and got {kind}. "
        "Send it as instance.ship.delay(), or as Order.ship.delay(instance)."
    )


def test_a_method_that_was_set_on_the_class_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Order, "set_late", model_task(go), raising=False)

    assert refused(stored(Order, pk=5).set_late.delay) == (
        "go cannot be sent for shop.Order, which has no task for it: another method "
        "overrides it there, it was set on the class instead of with add_to_class(), or this is a "
        "historical model of a migration."
    )


@pytest.mark.parametrize("name", ["pickle", "yaml"])
def test_a_serializer_that_workers_do_not_accept_is_refused(name: str) -> None:
    order = stored(Order, pk=5)

    for send in (order.ship.apply_async, order.ship.apply_async_on_commit):
        with pytest.raises(SerializerNotAccepted, match=f"accept_content lacks '{name}'"):
            send(["dhl"], serializer=name)


@pytest.mark.parametrize("args", ["dhl", {"carrier": "dhl"}, iter(["dhl"])], ids=type)
def test_arguments_are_a_list_or_a_tuple(args: Any) -> None:
    for send in (stored(Order, pk=5).ship.apply_async, stored(Order, pk=5).ship.apply):
        with pytest.raises(TypeError) as caught:
            send(args)
        assert str(caught.value) == (
            f"The arguments of Order.ship must be a list or a tuple, not a "
            f"{type(args).__qualname__}. Keyword arguments are the second argument, a dict."
        )


def test_keyword_arguments_are_a_dict() -> None:
    with pytest.raises(TypeError) as caught:
        stored(Order, pk=5).ship.apply_async(["dhl"], ["express"])
    assert str(caught.value) == ("The keyword arguments of Order.ship must be a dict, not a list.")


@pytest.mark.parametrize("name", ["delay", "apply_async", "s"])
def test_a_patch_that_would_have_no_effect_is_refused(name: str) -> None:
    with pytest.raises(AttributeError) as caught, mock.patch.object(Order.ship, name):
        pass

    assert str(caught.value) == (
        f"Order.ship.{name} cannot be set or patched: Order.ship is made anew whenever it is "
        "looked up. Patch Order.ship itself, or apply_async of Order.ship.task."
    )


def test_a_method_on_the_class_can_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    order = stored(Order, pk=5)

    with mock.patch("tests.shop.models.Order.ship") as ship:
        order.ship.delay("dhl")
    ship.delay.assert_called_once_with("dhl")
    with mock.patch.object(Order.ship.task, "apply_async") as apply_async:
        order.ship.delay("dhl")
    assert apply_async.call_args.args[0] == ("dhl",)


@pytest.mark.parametrize("name", ["map", "starmap", "chunks"])
def test_map_on_the_class_is_refused(name: str) -> None:
    arguments = ([(1,)], 1) if name == "chunks" else ([(1,)],)

    assert refused(lambda: getattr(Order.trace, name)(*arguments)) == (
        "map, starmap and chunks run Order.trace on one instance, with many arguments. From the "
        "class there is no instance: for many there is Order.trace.bulk_delay(instances)."
    )


def test_the_repr_names_the_method_and_the_row() -> None:
    assert repr(Order.ship) == "<model task Order.ship>"
    assert repr(stored(Order, pk=5).ship) == "<model task Order.ship of <shop.Order 5>>"
