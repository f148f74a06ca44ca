"""Signatures of methods, which hold references and no instances."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Signature, chain, chord, group, signature
from django.db import models

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidModelTask, UnsavedInstance
from tests.celery import app
from tests.shop import tasks
from tests.shop.models import Customer, Order

from ..bodies import stored
from .messages import row, sent_call

pytestmark = pytest.mark.django_db

Sent = Callable[[], list[Any]]

THIS = {"cereal_methods.reference": ["shop.Order", 5, "default"]}
ITSELF = "tests.shop.models.Order.itself"


@pytest.fixture
def order() -> Order:
    """An order that seems to be in the database."""
    return stored(Order, pk=5, city="Secretville")


def instances(value: Any) -> Iterator[models.Model]:
    """Give the instances in a value, at any depth."""
    if isinstance(value, models.Model):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from instances(item)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from instances(item)


FORMS: dict[str, Callable[[Order, Order], Any]] = {
    "s": lambda one, other: one.itself.s(other, k=[other]),
    "si": lambda one, other: one.itself.si(other, k=[other]),
    "signature": lambda one, other: one.itself.signature((other,), {"k": other}, countdown=1),
    "on the class": lambda one, other: Order.itself.s(one, other, k={"a": (other,)}),
    "this": lambda one, other: Order.itself.s(other, this=one),
    "chain": lambda one, other: one.itself.s(other) | other.itself.s(one),
    "group": lambda one, other: group([one.itself.s(other), other.itself.s(one)]),
    "chord": lambda one, other: chord([one.itself.s(other)], other.itself.s(one)),
    "link": lambda one, other: one.itself.s().set(link=other.itself.s(one)),
    "on_error": lambda one, other: one.itself.s().on_error(other.on_error.s()),
    "map": lambda one, other: one.itself.map([other, one]),
    "starmap": lambda one, other: one.itself.starmap([(other, one)]),
    "chunks": lambda one, other: list(one.itself.chunks([(other,), (one,)], 1).tasks),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_signature_does_not_hold_instances(form: str, order: Order) -> None:
    signature = FORMS[form](order, stored(Order, pk=6))

    assert list(instances(signature)) == []
    assert "shop.Order', 5" in repr(signature)


@pytest.mark.parametrize("form", FORMS)
def test_a_signature_is_made_and_shown_without_a_query_or_a_field(
    form: str, order: Order, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        signature = FORMS[form](order, stored(Order, pk=6, city="Secretville"))
        shown = [
            repr(signature),
            str(signature),
            repr(dict(signature) if isinstance(signature, dict) else signature),
        ]

    assert "Secretville" not in "".join(shown)


def test_a_signature_has_self_as_this(order: Order) -> None:
    assert dict(order.itself.s(1, k=stored(Customer, pk=7))) == {
        "task": ITSELF,
        "args": (1,),
        "kwargs": {"k": ModelReference("shop.Customer", 7, "default"), "this": THIS},
        "options": {},
        "subtask_type": None,
        "immutable": False,
    }


def test_the_repr_of_a_signature_is_its_call(order: Order) -> None:
    assert repr(order.itself.s(stored(Order, pk=6), 1)) == (
        f"{ITSELF}(<shop.Order 6>, 1, this={THIS!r})"
    )


def test_an_immutable_signature_ignores_the_previous_result(order: Order) -> None:
    assert order.itself.s(1).immutable is False
    assert order.itself.si(1).immutable is True
    assert order.itself.si(1).clone(("before",)).args == (1,)
    assert order.itself.signature((1,), immutable=True).clone(("before",)).args == (1,)


def test_the_previous_result_comes_first_and_self_is_unchanged(order: Order) -> None:
    clone = order.itself.s(1, k=2).clone(("before",), {"more": 3})

    assert clone.args == ("before", 1)
    assert clone.kwargs == {"k": 2, "more": 3, "this": THIS}


COPIES: dict[str, Callable[[Any], Any]] = {
    "json": lambda sent: signature(json.loads(json.dumps(sent))),
    "pickle": lambda sent: pickle.loads(pickle.dumps(sent)),
    "copy": copy.copy,
    "deepcopy": lambda sent: signature(copy.deepcopy(sent)),  # it is a dict, as Celery makes it
    "dict": lambda found: signature(dict(found)),
    "clone": lambda found: found.clone(),
    "app": lambda found: app.signature(dict(found)),
    "from_dict": lambda found: Signature.from_dict(dict(found)),
}


@pytest.mark.parametrize("way", COPIES)
def test_a_copied_signature_is_sent(way: str, order: Order, sent: Sent) -> None:
    signature = COPIES[way](order.itself.s("a", k=1).set(headers={"tenant": "x"}))

    signature.delay()

    (message,) = sent()
    assert message.headers["task"] == ITSELF
    assert message.headers["tenant"] == "x"
    assert message.content_type == "application/x-cereal-pickle"
    assert sent_call(message) == (["a"], {"this": row("Order", 5), "k": 1})


@pytest.mark.parametrize("way", [way for way in COPIES if way != "json"])
def test_a_copied_signature_keeps_its_references(way: str, order: Order, sent: Sent) -> None:
    COPIES[way](order.itself.s(stored(Order, pk=6))).delay()

    (message,) = sent()
    assert sent_call(message)[0] == [row("Order", 6)]


@pytest.mark.parametrize("way", ["json", "pickle", "copy", "deepcopy", "dict", "clone"])
def test_a_copied_chain_is_sent(way: str, order: Order, sent: Sent) -> None:
    COPIES[way](order.ship.s("dhl") | order.trace.s()).delay()

    (message,) = sent()
    ((following,),) = [message.payload[2]["chain"]]
    assert message.headers["task"] == "tests.shop.models.Order.ship"
    assert following["task"] == "tests.shop.models.Order.trace"
    assert following["kwargs"] == {"this": THIS}


def test_options_are_set_on_a_signature(order: Order, sent: Sent) -> None:
    order.itself.s().set(task_id="an-id", serializer="json").delay()

    (message,) = sent()
    assert message.headers["id"] == "an-id"
    assert message.payload[:2] == [[], {"this": THIS}]


def test_options_of_a_call_may_be_given_to_signature(order: Order) -> None:
    signature = order.ship.signature(("dhl",), {"express": True}, {"priority": 3}, countdown=60)

    assert signature.options == {"priority": 3, "countdown": 60}
    assert signature.kwargs == {"express": True, "this": THIS}


def test_a_pipe_joins_signatures_in_order(order: Order) -> None:
    joined = order.ship.s("dhl") | tasks.plain.s() | order.trace.si()

    assert isinstance(joined, type(chain(order.ship.s("dhl"), order.trace.s())))
    assert [part.task.rpartition(".")[2] for part in joined.tasks] == ["ship", "plain", "trace"]


@pytest.mark.parametrize("form", ["s", "si", "signature"])
def test_an_unsaved_instance_is_refused_in_a_signature(form: str, order: Order) -> None:
    args: Any = ((Order(),),) if form == "signature" else (Order(),)

    with pytest.raises(UnsavedInstance) as caught:
        getattr(order.itself, form)(*args)

    assert str(caught.value).startswith("This shop.Order has no row in the database: ")


def test_the_row_is_checked_when_a_signature_is_made_on_the_class() -> None:
    with pytest.raises(InvalidModelTask) as caught:
        Order.ship.s("dhl")

    assert str(caught.value) == (
        "On the class, Order.ship takes an instance of shop.Order first, and got str. Send it "
        "as instance.ship.delay(), or as Order.ship.delay(instance)."
    )


@pytest.mark.parametrize("n", [0, -1])
def test_an_empty_chunk_is_refused(n: int, order: Order) -> None:
    with pytest.raises(ValueError, match="A chunk") as caught:
        order.itself.chunks([(1,)], n)

    assert str(caught.value) == f"A chunk must have at least one item, not {n}."


@pytest.mark.parametrize(
    "build",
    [
        lambda task: task.map([1, 2]),
        lambda task: task.starmap([(1,), (2,)]),
        lambda task: task.chunks([(1,), (2,)], 2),
    ],
    ids=["map", "starmap", "chunks"],
)
def test_celerys_own_map_forgets_self_and_is_refused(build: Any, order: Order, eager: None) -> None:
    result = build(order.itself.task).apply_async()

    with pytest.raises(InvalidModelTask) as caught:
        result.get()

    assert str(caught.value) == (
        f"The task {ITSELF} was sent without the row that it runs on. To send it by name, pass the "
        "instance as the keyword this: send_task(name, args, {'this': instance}). Celery's map, "
        "starmap and chunks leave it out: use those of the method, as in instance.method.map(...)."
    )
