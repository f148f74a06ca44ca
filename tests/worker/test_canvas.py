"""Methods in every canvas, under every serializer: what they return, and what they fetch."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, group, signature
from celery.canvas import Signature

from tests.celery import app
from tests.shop.models import Order
from tests.shop.tasks import first_of, labelled, plain

from .workers import Worker

SECONDS = 30

Build = Callable[[Order, Order, Order], Any]

# Name: the canvas of three orders, its result, and how often orders are fetched.
SHAPES: dict[str, tuple[Build, Any, int]] = {
    "chain": (
        lambda a, b, c: chain(a.trace.s(), b.trace.s(), c.trace.s()),
        ["c", ["b", ["a"]]],
        3,
    ),
    "or": (lambda a, b, c: a.trace.s() | b.trace.s(), ["b", ["a"]], 2),
    "immutable": (lambda a, b, c: chain(a.trace.s(), b.trace.si()), ["b"], 2),
    "arguments": (lambda a, b, c: chain(a.trace.s(1), b.trace.s(2)), ["b", ["a", 1], 2], 2),
    "group": (lambda a, b, c: group(a.trace.s(), b.trace.s()), [["a"], ["b"]], 2),
    "chord": (
        lambda a, b, c: chord([a.trace.s(), b.trace.s()], c.trace.s()),
        ["c", [["a"], ["b"]]],
        3,
    ),
    "group in chain": (
        lambda a, b, c: chain(group(a.trace.s(), b.trace.s()), c.trace.s()),
        ["c", [["a"], ["b"]]],
        3,
    ),
    "chain of groups": (
        lambda a, b, c: chain(a.trace.s(), group(b.trace.s(), c.trace.s())),
        [["b", ["a"]], ["c", ["a"]]],
        3,
    ),
    "nested": (
        lambda a, b, c: chain(
            a.trace.s(),
            chord([b.trace.s(), chain(c.trace.s(), a.trace.s())], b.trace.s()),
            c.trace.s(),
        ),
        ["c", ["b", [["b", ["a"]], ["a", ["c", ["a"]]]]]],
        6,
    ),
    "after plain": (lambda a, b, c: chain(plain.s(1), a.trace.s()), ["a", ["plain", 1]], 1),
    "before plain": (lambda a, b, c: chain(a.trace.s(), plain.s()), ["plain", ["a"]], 1),
    "between plains": (
        lambda a, b, c: chain(plain.s(), a.trace.s(), plain.s(), b.trace.s()),
        ["b", ["plain", ["a", ["plain"]]]],
        2,
    ),
    "chord of plains": (
        lambda a, b, c: chord([plain.s(1), plain.s(2)], a.trace.s()),
        ["a", [["plain", 1], ["plain", 2]]],
        1,
    ),
    "map": (lambda a, b, c: a.trace.map([1, 2]), [["a", 1], ["a", 2]], 2),
    "starmap": (lambda a, b, c: a.trace.starmap([(1, 2), (3,)]), [["a", 1, 2], ["a", 3]], 2),
    "chunks": (
        lambda a, b, c: a.trace.chunks([(1,), (2,), (3,)], 2),
        [[["a", 1], ["a", 2]], [["a", 3]]],
        3,
    ),
    "starmap in chain": (
        lambda a, b, c: chain(a.trace.starmap([(1,), (2,)]), b.trace.s()),
        ["b", [["a", 1], ["a", 2]]],
        3,
    ),
    "class": (lambda a, b, c: chain(Order.trace.s(a), Order.trace.s(b, 2)), ["b", ["a"], 2], 2),
    "this": (lambda a, b, c: chain(a.trace.s(), b.trace.s(this=b)), ["b", ["a"]], 2),
    "clone": (lambda a, b, c: chain(a.trace.s().clone(), b.trace.s().clone()), ["b", ["a"]], 2),
    "stamped": (lambda a, b, c: stamped(chain(a.trace.s(), b.trace.s())), ["b", ["a"]], 2),
    "copied": (
        lambda a, b, c: signature(copy.deepcopy(chain(a.trace.s(), b.trace.s())), app=app),
        ["b", ["a"]],
        2,
    ),
    "from json": (
        lambda a, b, c: signature(json.loads(json.dumps(chain(a.trace.s(), b.trace.s()))), app=app),
        ["b", ["a"]],
        2,
    ),
    "from pickle": (
        lambda a, b, c: pickle.loads(pickle.dumps(chain(a.trace.s(), b.trace.s()))),
        ["b", ["a"]],
        2,
    ),
    "from dict": (
        lambda a, b, c: chain(signature(dict(a.trace.s(1)), app=app), b.trace.s()),
        ["b", ["a", 1]],
        2,
    ),
}

# The same, with instances among arguments and results, which Celery's json cannot carry.
# Instances of the method's own model come with self, by the same query.
INSTANCES: dict[str, tuple[Build, Any, int]] = {
    "result to method": (lambda a, b, c: chain(a.me.s(), b.meet.s()), ["b", "a"], 2),
    "argument": (lambda a, b, c: chain(a.trace.si(), b.meet.si(c)), ["b", "c"], 2),
    "results to chord": (
        lambda a, b, c: chain(group(a.me.s(), b.me.s()), first_of.s(), c.meet.s()),
        ["c", "a"],
        4,
    ),
    "replace": (lambda a, b, c: a.replaced.s(b), ["b", "a"], 2),
    "replace in chain": (
        lambda a, b, c: chain(a.replaced.s(b), c.trace.s()),
        ["c", ["b", "a"]],
        3,
    ),
    "replace in chord": (
        lambda a, b, c: chord([a.replaced.s(b), b.trace.s()], c.trace.s()),
        ["c", [["b", "a"], ["b"]]],
        4,
    ),
    "ensure_self": (
        lambda a, b, c: chain(a.trace.s(), labelled.s(this=b)),
        ["labelled", "b", ["a"]],
        2,
    ),
}


def stamped(canvas: Signature[Any]) -> Signature[Any]:
    canvas.stamp(customer="Ada")
    return canvas


@pytest.fixture
def orders() -> list[Order]:
    return [Order.objects.create(number=number) for number in "abc"]


def check(worker: Worker, canvas: Any, expected: Any, fetches: int) -> None:
    assert canvas.apply_async().get(timeout=SECONDS) == expected
    selects = [event["sql"] for event in worker.events() if event["what"] == "query"]
    assert len([sql for sql in selects if 'FROM "shop_order"' in sql]) == fetches


@pytest.mark.parametrize("shape", SHAPES)
def test_a_canvas_of_methods(any_worker: Worker, orders: list[Order], shape: str) -> None:
    build, expected, fetches = SHAPES[shape]

    check(any_worker, build(*orders), expected, fetches)


@pytest.mark.parametrize("shape", INSTANCES)
def test_a_canvas_of_instances(
    any_worker: Worker, serializer: str, orders: list[Order], shape: str
) -> None:
    if serializer == "json":
        pytest.skip("Celery's json carries no instances")
    build, expected, fetches = INSTANCES[shape]

    check(any_worker, build(*orders), expected, fetches)


def test_a_linked_method_takes_the_result(any_worker: Worker, orders: list[Order]) -> None:
    a, b, _ = orders

    result = a.trace.apply_async([1], link=b.trace.s(2))

    assert result.get(timeout=SECONDS) == ["a", 1]
    (child,) = any_worker.wait_for(lambda: result.children, "the linked task")
    assert child.get(timeout=SECONDS) == ["b", ["a", 1], 2]


@pytest.mark.parametrize("errback", ["on_error", "on_error_id"])
@pytest.mark.parametrize("shape", ["task", "chain", "chord"])
def test_a_method_is_an_errback(
    any_worker: Worker, orders: list[Order], errback: str, shape: str
) -> None:
    a, b, c = orders
    link = getattr(b, errback).s()
    canvas: Any = {
        "task": lambda: a.fail.s(),
        "chain": lambda: chain(c.trace.s(), a.fail.s(), c.trace.s()),
        "chord": lambda: chord([a.fail.s(), c.trace.s()], c.trace.s()),
    }[shape]()

    result = canvas.on_error(link).apply_async()

    with pytest.raises(Exception, match="order a fails"):
        result.get(timeout=SECONDS)
    events: list[Any] = []

    def errbacks() -> list[Any]:
        events.extend(any_worker.events())
        return [event for event in events if event["what"] == "errback"]

    found = any_worker.wait_for(errbacks, "the errback")
    assert {event["number"] for event in found} == {"b"}


def test_a_method_adds_to_its_chord(any_worker: Worker, serializer: str, orders: Any) -> None:
    if serializer == "json":
        pytest.skip("Celery's json carries no instances")
    if "redis" not in app.conf.result_backend:
        pytest.skip("Celery adds to chords on Redis only")
    a, b, c = orders

    result = chord([a.enlarge.s(b)], c.trace.s()).apply_async()

    answer = result.get(timeout=SECONDS)
    assert answer[0] == "c"
    assert sorted(answer[1]) == [["a"], ["b"]]
