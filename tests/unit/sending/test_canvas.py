"""Methods and functions in canvases that run here and now: results, maps, ``ensure_self``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, group

from cereal_methods import ensure_self, model_task, task
from tests.celery import app
from tests.shop import tasks
from tests.shop.models import Gift, Order

from ..bodies import stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("eager")]

Sent = Callable[[], list[Any]]


@pytest.fixture
def order() -> Order:
    """An order."""
    return Order.objects.create(number="one")


@pytest.fixture
def other() -> Order:
    """Another order."""
    return Order.objects.create(number="two")


CANVASES: dict[str, tuple[Callable[[Order, Order], Any], Any]] = {
    "chain": (
        lambda one, two: chain(one.trace.s("a"), two.trace.s("b")),
        ["two", ["one", "a"], "b"],
    ),
    "chain of three": (
        lambda one, two: one.trace.s() | two.trace.s() | one.trace.s(),
        ["one", ["two", ["one"]]],
    ),
    "si": (lambda one, two: chain(one.trace.s("a"), two.trace.si("b")), ["two", "b"]),
    "this": (
        lambda one, two: chain(one.trace.s("a"), two.trace.s(this=two)),
        ["two", ["one", "a"]],
    ),
    "class": (lambda one, two: chain(one.trace.s("a"), Order.trace.s(two)), ["two", ["one", "a"]]),
    "this on the class": (
        lambda one, two: chain(one.trace.s("a"), Order.trace.s(this=two)),
        ["two", ["one", "a"]],
    ),
    "plain task": (
        lambda one, two: chain(one.trace.s("a"), tasks.plain.s(), two.trace.s()),
        ["two", ["plain", ["one", "a"]]],
    ),
    "group": (lambda one, two: group(one.trace.s(), two.trace.s("b")), [["one"], ["two", "b"]]),
    "chord": (
        lambda one, two: chord([one.trace.s(), two.trace.s()], one.trace.s("c")),
        ["one", [["one"], ["two"]], "c"],
    ),
    "map": (lambda one, two: one.trace.map(["a", ["b"]]), [["one", "a"], ["one", ["b"]]]),
    "starmap": (
        lambda one, two: one.trace.starmap([("a", "b"), ()]),
        [["one", "a", "b"], ["one"]],
    ),
    "starmap of instances": (
        lambda one, two: one.meet.starmap([(two,), (two, one)]),
        [["one", "two"], ["one", "two", "one"]],
    ),
    "chunks": (
        lambda one, two: one.trace.chunks([("a",), ("b",), ("c",)], 2),
        [[["one", "a"], ["one", "b"]], [["one", "c"]]],
    ),
    "map of nothing": (lambda one, two: one.trace.map([]), []),
    "map in a chain": (
        lambda one, two: chain(one.trace.map(["a"]), two.trace.s()),
        ["two", [["one", "a"]]],
    ),
    "ensure_self": (
        lambda one, two: chain(one.trace.s("a"), tasks.labelled.s("b", this=two)),
        ["labelled", "two", ["one", "a"], "b"],
    ),
    "ensure_self first": (
        lambda one, two: chain(tasks.labelled.s(one, "a"), tasks.labelled.s(this=two)),
        ["labelled", "two", ["labelled", "one", "a"]],
    ),
}


@pytest.mark.parametrize("name", CANVASES)
def test_a_canvas_has_its_results_in_order(name: str, order: Order, other: Order) -> None:
    build, expected = CANVASES[name]

    assert build(order, other).apply_async().get() == expected


def test_every_step_of_a_chain_fetches_its_row(
    order: Order, other: Order, django_assert_num_queries: Any
) -> None:
    steps = chain(order.trace.s(), other.trace.s(), order.trace.s())

    with django_assert_num_queries(3):
        steps.apply_async().get()


def test_a_step_sees_what_the_previous_step_saved(order: Order) -> None:
    assert chain(order.count.s(), order.count.si(), order.count.si()).apply_async().get() == 3


def test_an_instance_that_is_a_result_arrives_in_the_next_step(order: Order, other: Order) -> None:
    assert chain(order.me.s(), other.meet.s()).apply_async().get() == ["two", "one"]


def test_a_method_maps_with_its_own_serializer(order: Order) -> None:
    assert order.trace.map([1]).options == {"serializer": "cereal-pickle"}
    assert order.ship_as_json.map(["dhl"]).options == {"serializer": "json"}


def test_a_map_is_one_message(order: Order, sent: Sent) -> None:
    app.conf.task_always_eager = False

    order.trace.map([1, 2, 3]).delay()

    (message,) = sent()
    assert message.headers["task"] == "cereal_methods.starmap"


def test_each_chunk_is_one_message(order: Order, sent: Sent) -> None:
    app.conf.task_always_eager = False

    order.trace.chunks([(1,), (2,), (3,)], 2).apply_async()

    assert len(sent()) == 2


def test_a_method_bound_to_its_task_maps(order: Order) -> None:
    assert order.retry_until.map([0, 1]).apply_async().get() == [(0, None), (1, None)]


# ensure_self


@ensure_self
def pair(order: Order, *before: Any, last: Any = None) -> list[Any]:
    """Return the arguments."""
    return [order.number, *before, last]


def test_a_call_without_this_is_an_ordinary_call(order: Order) -> None:
    assert pair(order, "a", last="b") == ["one", "a", "b"]


def test_this_is_passed_as_the_first_argument(order: Order) -> None:
    assert pair("a", this=order, last="b") == ["one", "a", "b"]


def test_a_reference_as_this_is_fetched(order: Order, django_assert_num_queries: Any) -> None:
    this = order.trace.s().kwargs["this"]

    with django_assert_num_queries(1):
        assert pair("a", this=this) == ["one", "a", None]


def test_the_function_keeps_its_name_and_docstring() -> None:
    assert (pair.__name__, pair.__doc__) == ("pair", "Return the arguments.")
    assert inspect.unwrap(pair).__qualname__ == "pair"


def test_this_is_a_fresh_row_in_a_task(order: Order) -> None:
    Order.objects.update(number="changed")

    assert tasks.labelled.delay("a", this=order).get() == ["labelled", "changed", "a"]


@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json", "cereal-yaml"])
def test_this_travels_under_any_cereal_serializer(order: Order, serializer: str) -> None:
    result = tasks.labelled.apply_async(("a",), {"this": order}, serializer=serializer)

    assert result.get() == ["labelled", "one", "a"]


def test_a_row_that_is_gone_fails_the_task(order: Order) -> None:
    this = stored(Order, pk=order.pk)
    signature = tasks.labelled.s("a", this=this)
    order.delete()

    with pytest.raises(Order.DoesNotExist) as caught:
        signature.apply_async().get()
    assert str(caught.value).startswith(
        f"shop.Order {this.pk} in database 'default' does not exist: "
    )


def test_this_may_be_a_row_of_any_model() -> None:
    gift = Gift.objects.create(number="gift")

    assert task(pair, name="shop.pair").delay(this=gift).get() == ["gift", None]


@pytest.mark.parametrize("first", [ensure_self, model_task])
def test_a_method_with_both_decorators_is_a_model_task(first: Any, new_models: None) -> None:
    then = model_task if first is ensure_self else ensure_self

    class Ensured(Order):
        @then
        @first
        def last(self, before: Any = None) -> list[Any]:
            return [self.number, before]

        class Meta:
            app_label = "shop"
            proxy = True

    row = Ensured.objects.create(number="one")

    assert row.last() == ["one", None]
    assert chain(tasks.plain.s(), row.last.s(this=row)).apply_async().get() == ["one", ["plain"]]
