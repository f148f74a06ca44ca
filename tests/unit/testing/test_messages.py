"""What a recorded message says of itself."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chain, chord, group

from cereal_methods.testing import record_tasks
from tests.celery import app
from tests.shop.models import Order

from ..bodies import NAMES
from ..recordings import shown
from .calls import values_of

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", NAMES)
def test_every_serializer_is_recorded(
    name: str, order: Order, other: Order, sent: Callable[[], list[Any]]
) -> None:
    with record_tasks() as tasks:
        order.meet.apply_async([other], serializer=name)

    assert sent() == []
    tasks.assert_sent(order.meet, other)
    tasks.assert_not_sent(order.meet, order)
    assert tasks[0].serializer == name
    assert shown(tasks) == ["shop.Order.meet <shop.Order 5> <shop.Order 6>"]


def test_options_of_apply_async(order: Order) -> None:
    at = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    with record_tasks() as tasks:
        order.count.apply_async(countdown=60, queue="slow", priority=3, headers={"by": "me"})
        order.count.apply_async(eta=at, expires=at)
        order.count.delay()

    later, at_eta, now = tasks
    assert (later.countdown, later.queue, later.message.properties["priority"]) == (60, "slow", 3)
    assert later.message.headers["by"] == "me"
    assert later.eta is not None
    assert later.expires is None
    assert (at_eta.eta, at_eta.expires, at_eta.queue) == (at, at, "celery")
    assert (now.eta, now.countdown) == (None, None)
    assert shown(tasks) == [
        "shop.Order.count <shop.Order 5> (queue 'slow', in 60 s)",
        "shop.Order.count <shop.Order 5> (at 2030-01-01 00:00:00 UTC)",
        "shop.Order.count <shop.Order 5>",
    ]


@pytest.fixture
def routes() -> Iterator[Callable[[Any], None]]:
    """Set CELERY_TASK_ROUTES."""

    def to(routes: Any) -> None:
        app.conf.task_routes = routes
        app.amqp.__dict__.pop("router", None)
        app.amqp.flush_routes()

    before = app.conf.task_routes
    yield to
    to(before)


def test_routes_are_followed(order: Order, routes: Callable[[Any], None]) -> None:
    routes({order.ship.name: {"queue": "mail"}})
    with record_tasks() as tasks:
        order.ship.delay("dhl")
        order.count.delay()

    assert [task.queue for task in tasks] == ["mail", "celery"]
    assert shown(tasks[:1]) == ["shop.Order.ship <shop.Order 5> 'dhl' (queue 'mail')"]


def test_canvases_show_the_calls_that_follow(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        chain(order.ship.s("dhl"), other.trace.s(), order.count.si()).delay()
        group(order.ship.s("a"), other.ship.s("b")).delay()
        chord([order.ship.s("c"), other.ship.s("d")], order.trace.s()).delay()
        order.ship.apply_async(["e"], link=other.trace.s(), link_error=order.on_error.s())

    assert shown(tasks) == [
        "shop.Order.ship <shop.Order 5> 'dhl' | shop.Order.trace <shop.Order 6> | "
        "shop.Order.count <shop.Order 5>",
        "shop.Order.ship <shop.Order 5> 'a'",
        "shop.Order.ship <shop.Order 6> 'b'",
        "shop.Order.ship <shop.Order 5> 'c' (in the chord of shop.Order.trace <shop.Order 5>)",
        "shop.Order.ship <shop.Order 6> 'd' (in the chord of shop.Order.trace <shop.Order 5>)",
        "shop.Order.ship <shop.Order 5> 'e' (then shop.Order.trace <shop.Order 6>, "
        "on error shop.Order.on_error <shop.Order 5>)",
    ]
    assert values_of(tasks[0].chain) == [("trace", 6), ("count", 5)]
    assert tasks[3].chord is not None
    assert values_of([tasks[3].chord]) == [("trace", 5)]
    assert values_of(tasks[5].callbacks) == [("trace", 6)]
    assert values_of(tasks[5].errbacks) == [("on_error", 5)]
    tasks.assert_not_sent(other.trace)


@pytest.mark.parametrize("name", ["json", "cereal-json"])
def test_canvases_under_other_serializers(name: str, order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        chain(order.ship.s("dhl").set(serializer=name), other.trace.s()).delay()

    assert values_of(tasks) == [("ship", 5, "dhl")]
    assert values_of(tasks[0].chain) == [("trace", 6)]
