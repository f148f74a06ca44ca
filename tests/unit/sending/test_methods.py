"""Model tasks as methods: calling, inspecting and sending them."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from celery import Task

from cereal_methods.exceptions import InvalidModelTask, UnsavedInstance
from tests.celery import app
from tests.shop.models import Customer, Gift, Order, PaidOrder

from ..bodies import stored, trip, unpack
from ..shops import bound
from .messages import row, sent_call

pytestmark = pytest.mark.django_db(databases=["default", "archive"])

Sent = Callable[[], list[Any]]


def test_calling_the_method_runs_it_in_this_process(sent: Sent) -> None:
    order = Order.objects.create()

    assert order.ship("dhl", express=True) == "shipped"

    assert order.carrier == "dhl express"
    assert sent() == []


def test_a_call_on_the_class_takes_the_instance_first() -> None:
    order = Order.objects.create()

    assert Order.ship(order, "dhl") == "shipped"

    assert order.carrier == "dhl"


def test_a_call_does_not_need_a_row() -> None:
    assert Order().trace(1) == ["2026-0001", 1]


def test_the_name_is_that_of_the_class_and_method(order: Order) -> None:
    assert order.ship.name == "tests.shop.models.Order.ship"
    assert Order.ship.name == "tests.shop.models.Order.ship"


def test_the_task_is_registered_under_the_name(order: Order) -> None:
    assert isinstance(order.ship.task, Task)
    assert order.ship.task is app.tasks["tests.shop.models.Order.ship"]
    assert Order.ship.task is order.ship.task


def test_a_method_has_its_docstring_name_and_signature(order: Order) -> None:
    assert order.ship.__doc__ == "Ship the order."
    assert order.ship.__name__ == "ship"
    assert order.ship.__qualname__ == "Order.ship"
    assert str(inspect.signature(order.ship)) == (
        "(carrier: 'str', *, express: 'bool' = False) -> 'str'"
    )
    assert str(inspect.signature(Order.ship)) == (
        "(self, carrier: 'str', *, express: 'bool' = False) -> 'str'"
    )


def test_the_task_has_the_methods_docstring_and_module(order: Order) -> None:
    assert order.ship.task.__doc__ == "Ship the order."
    assert order.ship.task.__module__ == "tests.shop.models"


def test_a_method_is_a_method_to_inspect(order: Order) -> None:
    assert callable(order.ship)
    assert inspect.isroutine(order.ship)
    assert order.ship.__self__ is order
    assert order.ship.__func__ is Order.__dict__["ship"].__wrapped__


def test_methods_of_one_instance_are_equal(order: Order) -> None:
    assert order.ship == order.ship
    assert order.ship != order.count


def test_delay_sends_self_as_a_reference(order: Order, sent: Sent) -> None:
    result = order.ship.delay("dhl", express=True)

    (message,) = sent()
    assert message.headers["task"] == "tests.shop.models.Order.ship"
    assert message.headers["id"] == result.id
    assert message.content_type == "application/x-cereal-pickle"
    assert sent_call(message) == (["dhl"], {"this": row("Order", 5), "express": True})


def test_delay_runs_no_query(order: Order, sent: Sent, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        order.ship.delay("dhl")


def test_delay_on_the_class_takes_the_instance_first(order: Order, sent: Sent) -> None:
    Order.ship.delay(order, "dhl")

    (message,) = sent()
    assert sent_call(message) == (["dhl"], {"this": row("Order", 5)})


def test_delay_on_the_class_takes_the_instance_as_this(order: Order, sent: Sent) -> None:
    Order.ship.delay("dhl", this=order)

    (message,) = sent()
    assert sent_call(message) == (["dhl"], {"this": row("Order", 5)})


def test_delay_takes_instances_among_the_arguments(order: Order, sent: Sent) -> None:
    order.meet.delay(stored(Order, pk=6), stored(Gift, id=7, order_ptr_id=7))

    (message,) = sent()
    assert sent_call(message)[0] == [row("Order", 6), row("Gift", 7)]


def test_apply_async_takes_celerys_options(order: Order, sent: Sent) -> None:
    order.ship.apply_async(("dhl",), {"express": True}, task_id="an-id", headers={"tenant": "x"})

    (message,) = sent()
    assert message.headers["id"] == "an-id"
    assert message.headers["tenant"] == "x"
    assert sent_call(message) == (["dhl"], {"this": row("Order", 5), "express": True})


@pytest.mark.parametrize("serializer", ["json", "cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_apply_async_can_use_another_serializer(order: Order, sent: Sent, serializer: str) -> None:
    order.ship.apply_async(("dhl",), serializer=serializer)

    (message,) = sent()
    assert message.content_type.endswith(serializer)


def test_self_travels_in_celerys_own_json(order: Order, sent: Sent) -> None:
    order.ship_as_json.delay("dhl")

    (message,) = sent()
    args, kwargs, _ = message.payload
    assert args == ["dhl"]
    assert kwargs == {"this": {"cereal_methods.reference": ["shop.Order", 5, "default"]}}


def test_the_headers_of_a_message_show_the_reference_only(sent: Sent) -> None:
    order = stored(Order, pk=5, city="Secretville")

    order.meet.delay(stored(Order, pk=6))

    (message,) = sent()
    assert message.headers["argsrepr"] == "(<shop.Order 5>, <shop.Order 6>)"
    assert message.headers["kwargsrepr"] == "{}"
    assert "Secretville" not in repr(message.headers)


def test_the_sent_call_runs_the_method_on_a_fresh_row(
    sent: Sent, django_assert_num_queries: Any
) -> None:
    order = Order.objects.create()
    order.trace.delay("before")
    Order.objects.update(number="changed")
    (message,) = sent()
    args, kwargs, _ = message.payload

    with django_assert_num_queries(1):
        assert order.trace.task(*args, **kwargs) == ["changed", "before"]


def test_the_task_of_a_method_may_be_called_with_an_instance() -> None:
    order = Order.objects.create()

    assert order.ship.task("dhl", this=order) == "shipped"


@pytest.mark.parametrize("args", [(), ("dhl", "extra")])
def test_delay_refuses_arguments_that_do_not_fit(
    order: Order, sent: Sent, args: tuple[str, ...]
) -> None:
    with pytest.raises(TypeError, match=r"^Order\.ship\(\) (missing 1 req|takes 1 pos)"):
        order.ship.delay(*args)
    assert sent() == []


def test_delay_refuses_an_unknown_keyword(order: Order, sent: Sent) -> None:
    with pytest.raises(TypeError) as caught:
        order.ship.delay("dhl", expres=True)  # type: ignore[call-arg]

    # Python 3.13 goes on: "Did you mean 'express'?"
    assert str(caught.value).startswith("Order.ship() got an unexpected keyword argument 'expres'")
    assert sent() == []


def test_delay_refuses_an_unsaved_instance(sent: Sent) -> None:
    with pytest.raises(UnsavedInstance) as caught:
        Order().ship.delay("dhl")

    assert str(caught.value).startswith("This shop.Order has no row in the database: ")
    assert sent() == []


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [((), "nothing"), (("dhl",), "str"), ((stored(Customer, pk=7), "dhl"), "<shop.Customer 7>")],
)
def test_a_call_on_the_class_without_its_instance_is_refused(
    arguments: Any, kind: str, sent: Sent
) -> None:
    with pytest.raises(InvalidModelTask) as caught:
        Order.ship.delay(*arguments)

    assert str(caught.value) == (
        f"On the class, Order.ship takes an instance of shop.Order first, and got {kind}. "
        "Send it as instance.ship.delay(), or as Order.ship.delay(instance)."
    )
    assert sent() == []


def test_a_parent_is_not_an_instance_of_the_child(order: Order) -> None:
    with pytest.raises(InvalidModelTask, match=r"takes an instance of shop\.Gift first"):
        Gift.ship.delay(order, "dhl")


def test_a_child_is_an_instance_of_the_parent(sent: Sent) -> None:
    Order.ship.delay(stored(PaidOrder, pk=5), "dhl")

    (message,) = sent()
    assert message.headers["task"] == "tests.shop.models.Order.ship"
    assert sent_call(message)[1] == {"this": row("PaidOrder", 5)}


def test_another_instance_as_this_is_refused(order: Order) -> None:
    with pytest.raises(InvalidModelTask) as caught:
        order.ship.delay("dhl", this=stored(Order, pk=6))

    assert str(caught.value) == (
        "Order.ship got this=<shop.Order 6> on another instance. Leave it out on an instance."
    )


def test_the_same_instance_as_this_is_allowed(order: Order, sent: Sent) -> None:
    order.ship.delay("dhl", this=stored(Order, pk=5))

    assert len(sent()) == 1


def test_a_task_sent_for_another_model_fails(order: Order) -> None:
    customer = Customer.objects.create(name="Ada")

    with pytest.raises(InvalidModelTask) as caught:
        order.ship.task("dhl", this=customer)

    assert str(caught.value) == (
        "The task tests.shop.models.Order.ship was sent for Customer and not for an instance of "
        "shop.Order. Send it as instance.method.delay()."
    )


def test_a_task_sent_without_its_row_fails(order: Order) -> None:
    with pytest.raises(InvalidModelTask) as caught:
        order.itself.task.run()

    assert str(caught.value) == (
        "The task tests.shop.models.Order.itself was sent without the row that it runs on. To send "
        "it by name, pass the instance as the keyword this: send_task(name, args, {'this': "
        "instance}). Celery's map, starmap and chunks leave it out: use those of the method, as "
        "in instance.method.map(...)."
    )


def test_bind_passes_the_task_in_a_plain_call(new_models: None) -> None:
    model = bound()
    instance = stored(model, pk=5)

    assert instance.go(1) == (instance, instance.go.task, 1)
    assert model.go(instance, 1) == (instance, instance.go.task, 1)


def test_bind_passes_the_task_in_the_task(new_models: None) -> None:
    instance = stored(bound(), pk=5)

    returned = instance.go.task.run(1, this=instance)

    assert returned == (instance, instance.go.task, 1)


def test_bind_hides_the_task_from_delay(order: Order, sent: Sent) -> None:
    order.retry_until.delay(2)

    (message,) = sent()
    assert sent_call(message) == ([2], {"this": row("Order", 5)})


def test_a_bound_method_pickles() -> None:
    order = Order.objects.create()

    ship = pickle.loads(pickle.dumps(order.ship))

    assert ship.__self__ == order
    assert ship("dhl") == "shipped"
    assert ship.name == order.ship.name


def test_a_method_of_the_class_pickles() -> None:
    assert pickle.loads(pickle.dumps(Order.ship)).name == "tests.shop.models.Order.ship"


def test_a_bound_method_is_copied() -> None:
    order = Order.objects.create()

    assert copy.copy(order.ship).__self__ is order
    assert copy.deepcopy(order.ship).__self__ == order


def test_a_method_in_a_message_brings_its_instance() -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip("cereal-pickle", [order.ship, order])

    (ship, value), _ = unpack(args, kwargs)

    assert ship.__self__ is value


def test_apply_runs_the_task_on_a_fresh_row() -> None:
    order = Order.objects.create()
    Order.objects.update(number="changed")

    assert order.trace.apply(("before",)).get() == ["changed", "before"]
    assert order.number == "2026-0001"


def test_methods_know_their_class_methods() -> None:
    assert Order.number_all(["a"]) == ["Order", "a"]
    assert Gift.number_all(["a"]) == ["Gift", "a"]


def test_class_methods_are_sent_without_a_row(sent: Sent) -> None:
    Order.number_all.delay(["a"], last=stored(Order, pk=5))

    (message,) = sent()
    assert message.headers["task"] == "tests.shop.models.Order.number_all"
    assert sent_call(message) == ([["a"]], {"last": row("Order", 5)})


def test_class_methods_are_sent_from_an_instance_too(order: Order, sent: Sent) -> None:
    order.number_all.delay(["a"])

    (message,) = sent()
    assert sent_call(message) == ([["a"]], {})


def test_manager_methods_are_sent_without_a_row(sent: Sent) -> None:
    Order.paid.count_all.delay(more=1)

    (message,) = sent()
    assert message.headers["task"] == "tests.shop.models.Order.paid.count_all"
    assert sent_call(message) == ([], {"more": 1})


def test_manager_methods_run_on_the_manager() -> None:
    Order.objects.create(status="paid")
    Order.objects.create(status="new")

    assert Order.paid.count_all(1) == 2
    assert Order.paid.count_all.task(more=1) == 2


@pytest.mark.parametrize("name", ["nothing", "delayed", "_self_nothing"])
def test_other_attributes_are_missing(order: Order, name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(order.ship, name)
