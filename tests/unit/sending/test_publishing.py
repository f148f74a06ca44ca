"""The options of sending: an unknown name is refused, with a suggestion."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery, Task, chord, group
from celery.app.amqp import AMQP
from django.db import models
from kombu import Producer

from cereal_methods import model_task
from tests.shop import tasks
from tests.shop.models import Order

from ..bodies import stored
from ..shops import forgetting

Sent = Callable[[], list[Any]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]

SHIP = "tests.shop.models.Order.ship"


class Once(Task):  # type: ignore[type-arg]
    """A task class with options of its own, as packages have."""

    abstract = True

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, *, countdwn: int = 0, **options: Any
    ) -> Any:
        once = options.pop("once", None)
        return super().apply_async(args, kwargs, headers={"once": [once, countdwn]}, **options)


class Note(models.Model):
    class Meta:
        app_label = "shop"

    @model_task(base=Once)
    def write(self) -> None: ...

    @model_task(bind=True)
    def keep(self, task: Any, where: str = "") -> None: ...


notes = forgetting("note")


def refused(use: Callable[[], Any]) -> str:
    """Return the message of the TypeError with which a use is refused."""
    with pytest.raises(TypeError) as caught:
        use()
    return str(caught.value)


CALLS: dict[str, Callable[[Order, dict[str, Any]], Any]] = {
    "apply_async": lambda order, options: order.ship.apply_async(("dhl",), **options),
    "apply_async_on_commit": lambda order, options: order.ship.apply_async_on_commit(
        ("dhl",), **options
    ),
    "bulk_apply_async": lambda order, options: Order.ship.bulk_apply_async(
        [5], ("dhl",), **options
    ),
    "bulk_apply_async_on_commit": lambda order, options: Order.ship.bulk_apply_async_on_commit(
        [5], ("dhl",), **options
    ),
    "bulk_signature": lambda order, options: Order.ship.bulk_signature("all", ("dhl",), **options),
    "signature": lambda order, options: order.ship.signature(("dhl",), **options),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("coutdown", "Did you mean 'countdown'?"),
        ("Queue", "Did you mean 'queue'?"),
        ("taskid", "Did you mean 'task_id'?"),
        ("carrier", "It is an argument of the method: kwargs={'carrier': ...}."),
        ("xyzzy", "Options are those of Celery's apply_async."),
    ],
)
def test_an_unknown_option_of_sending_is_refused(
    call: str, option: str, hint: str, order: Order, sent: Sent
) -> None:
    assert refused(lambda: CALLS[call](order, {"priority": 3, option: 5})) == (
        f"{SHIP}: {call} has no option {option!r}. {hint}"
    )
    assert sent() == []


@pytest.mark.parametrize(
    ("call", "option", "meant"),
    [
        ("bulk_apply_async", "batchsize", "batch_size"),
        ("bulk_apply_async_on_commit", "robst", "robust"),
        ("apply_async_on_commit", "robst", "robust"),
        ("signature", "imutable", "immutable"),
    ],
)
def test_other_options_of_the_call_are_suggested(
    call: str, option: str, meant: str, order: Order
) -> None:
    assert refused(lambda: CALLS[call](order, {option: 1})) == (
        f"{SHIP}: {call} has no option {option!r}. Did you mean {meant!r}?"
    )


def test_unknown_options_of_a_signature_are_refused_in_a_dict_too(order: Order) -> None:
    assert refused(lambda: order.ship.signature(("dhl",), {}, {"coutdown": 5})) == (
        f"{SHIP}: signature has no option 'coutdown'. Did you mean 'countdown'?"
    )


def test_the_parameters_of_the_bound_method_are_accepted(order: Order) -> None:
    assert refused(lambda: stored(Note, pk=5).keep.apply_async(where="x")).endswith(
        "It is an argument of the method: kwargs={'where': ...}."
    )


@pytest.mark.parametrize(
    "function", [Task.apply_async, Celery.send_task, AMQP.as_task_v2, Producer.publish]
)
def test_options_that_celery_and_kombu_name_are_accepted(function: Any) -> None:
    ignored = {"self", "args", "kwargs", "body", "name", "options", "properties"}
    named = inspect.signature(function).parameters.keys() - ignored

    for option in named:
        stored(Order, pk=5).ship.signature(("dhl",), {}, {option: None})


def test_stamps_and_properties_of_transports_are_accepted(order: Order, sent: Sent) -> None:
    order.ship.apply_async(
        ("dhl",),
        stamped_headers=["tenant"],
        tenant="x",
        MessageGroupId="5",
        app_id="shop",
        exchange_type="direct",
        headers={"anything": 1},
    )

    (message,) = sent()
    assert message.headers["stamps"] == {"tenant": "x"}
    assert message.properties["MessageGroupId"] == "5"


def test_canvases_are_sent_with_custom_options(order: Order, sent: Sent) -> None:
    group([order.count.s(), order.count.si()]).apply_async(queue="celery", countdown=0)
    (order.count.s() | order.trace.s()).apply_async()
    chord([order.count.s()], order.trace.s().set(link=tasks.plain.si())).freeze()

    assert len(sent()) == 3


def test_a_task_class_can_have_its_own_options(sent: Sent) -> None:
    stored(Note, pk=5).write.apply_async(once={"keys": []}, countdwn=3)

    (message,) = sent()
    assert message.headers["once"] == [{"keys": []}, 3]


def test_a_misspelt_option_is_refused_for_a_custom_task_class_too() -> None:
    assert refused(lambda: stored(Note, pk=5).write.apply_async(priorty=3)).endswith(
        "write: apply_async has no option 'priorty'. Did you mean 'priority'?"
    )
