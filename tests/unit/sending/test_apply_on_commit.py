"""Canvases that are sent when a transaction commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, group
from celery.result import GroupResult
from django.db import transaction

from cereal_methods import apply_on_commit
from tests.shop import tasks
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

Sent = Callable[[], list[Any]]


def ids(sent: Sent) -> list[str]:
    """Return the ids of the messages that were sent since."""
    return [message.headers["id"] for message in sent()]


CANVASES: dict[str, Callable[[Order], Any]] = {
    "chain": lambda order: chain(order.trace.s(), order.trace.s()),
    "chain after a function": lambda order: chain(tasks.plain.s(), order.trace.s()),
    "group": lambda order: group(order.trace.s(), order.trace.s()),
    "chord": lambda order: chord([order.trace.s()], order.trace.s()),
    "chord of functions": lambda order: chord([tasks.plain.s()], order.trace.s()),
    "chain of a group": lambda order: chain(group(tasks.plain.s()), order.trace.s()),
    "map": lambda order: order.trace.map([1]),
    "chunks": lambda order: order.trace.chunks([(1,), (2,)], 1),
    "ensure_self": lambda order: tasks.labelled.s(this=order),
}


@pytest.mark.parametrize("name", CANVASES)
def test_a_canvas_waits_for_the_database_of_its_rows(name: str, sent: Sent) -> None:
    canvas = CANVASES[name](Order.objects.using("archive").create())

    with transaction.atomic(using="archive"):
        apply_on_commit(canvas)
        assert ids(sent) == []

    assert len(ids(sent)) >= 1


def test_the_database_of_a_canvas_may_be_named(sent: Sent) -> None:
    with transaction.atomic(using="archive"):
        result = apply_on_commit(tasks.plain.s(), using="archive")
        assert ids(sent) == []

    assert ids(sent) == [result.id]


def test_the_results_of_a_group_are_known_at_once(sent: Sent) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        result = apply_on_commit(group(order.trace.s(1), order.trace.s(2)))

    assert isinstance(result, GroupResult)
    assert ids(sent) == [part.id for part in result.results]


def test_a_canvas_that_is_rolled_back_is_not_sent(sent: Sent) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        with transaction.atomic():
            apply_on_commit(chain(order.trace.s(), order.trace.s()))
            transaction.set_rollback(True)
        kept = apply_on_commit(order.trace.s())

    assert ids(sent) == [kept.id]


def test_the_result_of_a_chain_is_that_of_its_last_step(sent: Sent) -> None:
    order = Order.objects.create()

    with transaction.atomic():
        result = apply_on_commit(chain(order.trace.s(), order.count.si()))

    (message,) = sent()
    ((last,),) = [message.payload[2]["chain"]]
    assert message.headers["task"] == "tests.shop.models.Order.trace"
    assert last["options"]["task_id"] == result.id
    assert result.parent.id == message.headers["id"]


def test_the_database_of_the_first_method_is_taken(sent: Sent) -> None:
    here, there = Order.objects.create(), Order.objects.using("archive").create()

    with transaction.atomic(using="archive"):
        apply_on_commit(chain(here.trace.s(), there.trace.s()))
        assert len(ids(sent)) == 1


def test_a_canvas_can_be_sent_again(sent: Sent) -> None:
    order = Order.objects.create()
    canvas = chord([order.trace.s(1)], order.trace.s(2))
    signature = order.trace.s(3)

    with transaction.atomic():
        first, second = apply_on_commit(canvas), apply_on_commit(canvas)
        apply_on_commit(signature)
        signature.args = (99,)
    signature.apply_async()

    messages = sent()
    assert len({message.headers["id"] for message in messages}) == 4
    assert first.id != second.id
    assert [message.payload[0].with_references() for message in messages] == [
        [1],
        [1],
        [3],
        [99],
    ]
