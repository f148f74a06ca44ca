"""What waits for a commit while tasks are recorded."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from celery import chain
from django.db import transaction
from django.test import TestCase, override_settings

from cereal_methods import apply_on_commit
from cereal_methods.testing import record_tasks
from tests.shop.models import Order

from .calls import values_of

pytestmark = pytest.mark.django_db


def test_messages_that_wait_for_a_commit_are_sent_when_it_would_happen(order: Order) -> None:
    with record_tasks() as tasks:
        with transaction.atomic():
            order.ship_on_commit.delay()
            order.ship.delay_on_commit("dhl")
            apply_on_commit(chain(order.count.si(), order.count.si()))
            Order.count.bulk_delay_on_commit([5])
            transaction.on_commit(lambda: order.ship.delay("own"))
            assert len(tasks) == 0
        order.count.delay()

        assert values_of(tasks) == [
            ("ship_on_commit", 5),
            ("ship", 5, "dhl"),
            ("count", 5),
            ("count", 5),
            ("ship", 5, "own"),
            ("count", 5),
        ]
        assert [len(sent.chain) for sent in tasks] == [0, 0, 1, 0, 0, 0]


def test_messages_that_wait_for_a_commit_are_sent_at_the_end(order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay_on_commit("dhl")

    tasks.assert_sent(order.ship, "dhl")


def test_rolled_back_messages_are_never_sent(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            order.ship.delay_on_commit("dhl")
            raise ZeroDivisionError
        with transaction.atomic():
            order.ship.delay_on_commit("ups")

    assert values_of(tasks) == [("ship", 5, "ups")]


def test_nothing_is_sent_from_a_broken_transaction(order: Order) -> None:
    with record_tasks() as tasks:
        order.count.delay()
        with pytest.raises(ZeroDivisionError), transaction.atomic(savepoint=False):
            order.ship.delay_on_commit("dhl")
            raise ZeroDivisionError

    assert values_of(tasks) == [("count", 5)]
    transaction.set_rollback(False)


def test_callbacks_that_wait_are_shown(order: Order) -> None:
    with transaction.atomic(), record_tasks() as tasks:
        order.ship.delay_on_commit("dhl")
        with pytest.raises(AssertionError) as caught:
            tasks.assert_sent(order.ship)

    assert str(caught.value) == (
        "shop.Order.ship <shop.Order 5> was not sent. Nothing was sent.\n"
        "1 callback waits for a transaction in 'default' to commit."
    )


def test_callbacks_from_before_the_recording_do_not_run(order: Order) -> None:
    order.ship.delay_on_commit("before")
    with record_tasks() as tasks:
        order.ship.delay_on_commit("dhl")

    assert values_of(tasks) == [("ship", 5, "dhl")]


def test_commits_can_be_left_to_django(order: Order) -> None:
    with record_tasks(commit=False) as tasks:
        with TestCase.captureOnCommitCallbacks(execute=True) as callbacks:
            order.ship.delay_on_commit("dhl")
            assert len(tasks) == 0
        tasks.assert_num_sent(1, order.ship)

    assert len(callbacks) == 1


def test_a_callback_runs_once_inside_of_djangos_capture(order: Order) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True), record_tasks() as tasks:
        order.ship.delay_on_commit("dhl")

    tasks.assert_num_sent(1)


@pytest.mark.django_db(transaction=True)
def test_real_commits_send_by_themselves(order: Order) -> None:
    with record_tasks() as tasks:
        with transaction.atomic():
            order.ship.delay_on_commit("dhl")
            assert len(tasks) == 0
        assert len(tasks) == 1


@override_settings(CEREAL_METHODS={"ON_COMMIT": True})
def test_the_setting_on_commit_applies(order: Order) -> None:
    with record_tasks() as tasks:
        with transaction.atomic():
            order.ship.delay("dhl")
            assert len(tasks) == 0
        assert len(tasks) == 1


class AsyncTests(TestCase):
    async def test_coroutines_are_recorded(self) -> None:
        order = await Order.objects.acreate(pk=5)
        with record_tasks() as tasks:
            await order.ship.adelay("dhl")
            await order.ship.adelay_on_commit("ups")
            tasks.assert_num_sent(1)
            await sync_to_async(tasks.assert_sent)(order.ship, "ups")
            await sync_to_async(tasks.run)()

        await order.arefresh_from_db()
        assert order.carrier == "ups"
