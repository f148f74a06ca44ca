"""Recording what is sent, and asking for it."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY

import pytest
from asgiref.sync import sync_to_async
from celery import chain, chord, group
from django.db import transaction
from django.test import TestCase, override_settings

from cereal_methods import apply_on_commit
from cereal_methods.exceptions import InvalidModelTask, RecordingError, UnsavedInstance
from cereal_methods.testing import RecordedTasks, record_tasks
from tests.celery import app
from tests.shop.models import Customer, Document, Gift, Order
from tests.shop.tasks import plain, total, unwrap, wait

from .bodies import NAMES
from .interpreters import SETUP, run
from .recordings import shown

pytestmark = pytest.mark.django_db


@pytest.fixture
def order() -> Order:
    return Order.objects.create(pk=5)


@pytest.fixture
def other() -> Order:
    return Order.objects.create(pk=6)


def test_what_is_sent_is_recorded_and_not_sent(order: Order, sent: Callable[[], list[Any]]) -> None:
    with record_tasks() as tasks:
        result = order.ship.delay("dhl", express=True)

    assert sent() == []
    assert len(tasks) == 1
    assert tasks[0].id == result.id
    assert tasks[0].name == "tests.shop.models.Order.ship"
    assert repr(tasks[0].row) == "<shop.Order 5>"
    assert tasks[0].args == ("dhl",)
    assert tasks[0].kwargs == {"express": True}
    assert tasks[0].serializer == "cereal-pickle"
    assert not tasks[0].has_run
    assert repr(tasks[0]) == "<SentTask shop.Order.ship <shop.Order 5> 'dhl' express=True>"


def test_afterwards_all_is_sent_as_ever(order: Order, sent: Callable[[], list[Any]]) -> None:
    names = ("send_task_message", "create_task_message", "broadcast")

    def state() -> list[Any]:
        parts = (vars(app.amqp), vars(app.control))
        found = [part.get(name) for part in parts for name in names]
        return [found, dict(app.conf.changes), app.backend]

    order.count.delay()
    before = state()
    with record_tasks() as tasks:
        assert state() != before
    assert state() == before
    order.ship.delay("dhl")

    assert [message.headers["task"] for message in sent()] == [order.count.name, order.ship.name]
    assert len(tasks) == 0


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


def test_arguments_are_the_same_by_place_by_name_and_by_default(order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay(carrier="dhl")

    tasks.assert_sent(order.ship, "dhl")
    tasks.assert_sent(order.ship, carrier="dhl", express=False)
    tasks.assert_not_sent(order.ship, "dhl", express=True)
    tasks.assert_not_sent(order.ship, "ups")


def test_without_arguments_any_will_do(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")

    assert tasks.assert_sent(order.ship) is tasks[0]
    tasks.assert_not_sent(other.ship)
    tasks.assert_not_sent(order.count)


def test_on_the_class_any_row_will_do_or_the_one_given(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")
        other.ship.delay("ups")

    tasks.assert_sent(Order.ship)
    tasks.assert_sent(Order.ship, other, "ups")
    tasks.assert_not_sent(Order.ship, other, "dhl")
    assert shown(tasks.of(Order.ship)) == [
        "shop.Order.ship <shop.Order 5> 'dhl'",
        "shop.Order.ship <shop.Order 6> 'ups'",
    ]
    assert shown(tasks.of(other.ship)) == ["shop.Order.ship <shop.Order 6> 'ups'"]


def test_it_matters_which_model_inherits_the_method(order: Order) -> None:
    gift = Gift.objects.create()
    with record_tasks() as tasks:
        gift.stamp.delay("a gift")
        Document.objects.create().publish.delay()

    tasks.assert_sent(gift.stamp, "a gift")
    tasks.assert_not_sent(order.stamp)
    tasks.assert_sent(Document.publish)


def test_managers_and_classes_send_no_row() -> None:
    with record_tasks() as tasks:
        Order.paid.count_all.delay(1)
        Order.number_all.delay(["a"])

    tasks.assert_sent(Order.paid.count_all, 1)
    tasks.assert_sent(Order.number_all, ["a"], last=None)
    tasks.assert_not_sent(Order.number_all, ["b"])
    assert shown(tasks) == [
        "tests.shop.models.Order.paid.count_all 1",
        "tests.shop.models.Order.number_all ['a']",
    ]


def test_methods_that_take_their_task_are_expected_without_it(order: Order) -> None:
    with record_tasks() as tasks:
        order.retry_until.delay(2)

    tasks.assert_sent(order.retry_until, tries=2)
    with pytest.raises(TypeError):
        tasks.assert_sent(order.retry_until, "task", 2)


def test_functions_and_names_of_tasks(order: Order) -> None:
    with record_tasks() as tasks:
        wait.delay(order, 1.5)
        plain.delay("a", 1)
        app.send_task("billing.charge", [5], {"currency": "EUR"})

    tasks.assert_sent(wait, order, seconds=1.5)
    tasks.assert_sent(plain, "a", 1)
    tasks.assert_sent("tests.shop.tasks.plain", "a", 1)
    tasks.assert_sent("billing.charge", 5, currency="EUR")
    tasks.assert_not_sent("billing.charge", 6, currency="EUR")
    assert shown(tasks) == [
        "tests.shop.tasks.wait <shop.Order 5> 1.5",
        "tests.shop.tasks.plain 'a' 1",
        "billing.charge 5 currency='EUR'",
    ]


def test_instances_at_any_depth_are_rows(order: Order, other: Order) -> None:
    customer = Customer.objects.create(name="Ann")
    data = {"pages": [[order]], "customers": [{"customer": customer}]}
    with record_tasks() as tasks:
        total.delay(data)

    tasks.assert_sent(total, data)
    tasks.assert_not_sent(total, {**data, "pages": [[other]]})


def test_what_json_changes_is_expected_as_it_was_given(order: Order) -> None:
    with record_tasks() as tasks:
        order.itself.apply_async([(1, 2)], {"by": {1: "a"}}, serializer="cereal-json")

    tasks.assert_sent(order.itself, (1, 2), by={1: "a"})
    tasks.assert_sent(order.itself, [1, 2], by={"1": "a"})
    tasks.assert_not_sent(order.itself, (1, 3), by={1: "a"})


@pytest.mark.parametrize("name", ["cereal-pickle", "cereal-json"])
def test_any_of_mock_stands_for_any_argument(name: str, order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.apply_async(["dhl"], {"express": True}, serializer=name)

    tasks.assert_sent(order.ship, ANY, express=True)
    tasks.assert_not_sent(order.ship, ANY, express=False)


def test_querysets_are_the_rows_that_they_have(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        total.delay(Order.objects.order_by("pk"))

    tasks.assert_sent(total, Order.objects.order_by("pk"))
    tasks.assert_not_sent(total, Order.objects.filter(pk=5))


def test_a_failed_assertion_shows_what_was_sent_instead(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("ups", express=True)
        other.count.apply_async(countdown=60, queue="slow")

    with pytest.raises(AssertionError) as caught:
        tasks.assert_sent(order.ship, "dhl")

    assert str(caught.value) == (
        "shop.Order.ship <shop.Order 5> 'dhl' was not sent. Sent were:\n"
        "  1. shop.Order.ship <shop.Order 5> 'ups' express=True\n"
        "  2. shop.Order.count <shop.Order 6> (queue 'slow', in 60 s)"
    )


def test_other_assertions_show_it_too(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(AssertionError) as nothing:
            tasks.assert_sent(Order.ship)
        order.ship.delay("ups")
    with pytest.raises(AssertionError) as was_sent:
        tasks.assert_not_sent(order.ship)
    with pytest.raises(AssertionError) as too_few:
        tasks.assert_num_sent(2)
    with pytest.raises(AssertionError) as too_many:
        tasks.assert_num_sent(0, order.ship)

    sent = "Sent were:\n  1. shop.Order.ship <shop.Order 5> 'ups'"
    name = "shop.Order.ship <shop.Order 5>"
    assert str(nothing.value) == "tests.shop.models.Order.ship was not sent. Nothing was sent."
    assert str(was_sent.value) == f"{name} was sent. {sent}"
    assert str(too_few.value) == f"1 message was sent, 2 expected. {sent}"
    assert str(too_many.value) == f"1 message was sent of {name}, 0 expected. {sent}"
    tasks.assert_num_sent(1)
    tasks.assert_num_sent(1, Order.ship)


def test_long_lists_are_cut(order: Order) -> None:
    with record_tasks() as tasks:
        for _ in range(52):
            order.count.delay()
    with pytest.raises(AssertionError) as caught:
        tasks.assert_num_sent(1)

    lines = str(caught.value).splitlines()
    assert len(lines) == 52
    assert lines[-1] == "  and 2 more"


def test_options_of_apply_async(order: Order) -> None:
    at = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
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

    assert [each.queue for each in tasks] == ["mail", "celery"]
    assert shown(tasks)[0] == "shop.Order.ship <shop.Order 5> 'dhl' (queue 'mail')"


def test_bulks_are_found_by_their_rows(order: Order, other: Order) -> None:
    Order.objects.create(pk=7)
    with record_tasks() as tasks:
        Order.ship.bulk_delay(Order.objects.filter(pk__lt=7), "dhl")
        Order.ship.bulk_apply_async([5, 6, 7], ["ups"], batch_size=2)

    assert shown(tasks) == [
        "shop.Order.ship <shop.Order 5> 'dhl'",
        "shop.Order.ship <shop.Order 6> 'dhl'",
        "shop.Order.ship <shop.Order 2 rows> 'ups'",
        "shop.Order.ship <shop.Order 7> 'ups'",
    ]
    assert [len(each.call.rows) for each in tasks] == [1, 1, 2, 1]
    tasks.assert_sent(other.ship, "dhl")
    tasks.assert_sent(order.ship, "ups")
    assert len(tasks.of(other.ship)) == 2
    tasks.assert_not_sent(Order.ship, Order.objects.get(pk=7), "dhl")


def test_canvases_show_what_will_follow(order: Order, other: Order) -> None:
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
    assert [call.name for call in tasks[0].chain] == [other.trace.name, order.count.name]
    assert repr(tasks[0].chain[0].row) == "<shop.Order 6>"
    assert list(map(repr, tasks[5].callbacks)) == ["shop.Order.trace <shop.Order 6>"]
    assert list(map(repr, tasks[5].errbacks)) == ["shop.Order.on_error <shop.Order 5>"]
    tasks.assert_not_sent(other.trace)


@pytest.mark.parametrize("name", ["json", "cereal-json"])
def test_canvases_under_other_serializers(name: str, order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        chain(order.ship.s("dhl").set(serializer=name), other.trace.s()).delay()

    assert shown(tasks) == [
        "shop.Order.ship <shop.Order 5> 'dhl' | shop.Order.trace <shop.Order 6>"
    ]


def test_what_waits_for_a_commit_is_sent_when_it_would_come(order: Order) -> None:
    with record_tasks() as tasks:
        with transaction.atomic():
            order.ship_on_commit.delay()
            order.ship.delay_on_commit("dhl")
            apply_on_commit(chain(order.count.si(), order.count.si()))
            Order.count.bulk_delay_on_commit([5])
            transaction.on_commit(lambda: order.ship.delay("own"))
            assert len(tasks) == 0
        order.count.delay()

        assert shown(tasks) == [
            "shop.Order.ship_on_commit <shop.Order 5>",
            "shop.Order.ship <shop.Order 5> 'dhl'",
            "shop.Order.count <shop.Order 5> | shop.Order.count <shop.Order 5>",
            "shop.Order.count <shop.Order 5>",
            "shop.Order.ship <shop.Order 5> 'own'",
            "shop.Order.count <shop.Order 5>",
        ]
        assert len(tasks) == 6


def test_what_waits_for_a_commit_is_sent_at_the_end(order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay_on_commit("dhl")

    tasks.assert_sent(order.ship, "dhl")


def test_what_was_rolled_back_is_never_sent(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            order.ship.delay_on_commit("dhl")
            raise ZeroDivisionError
        with transaction.atomic():
            order.ship.delay_on_commit("ups")

    assert shown(tasks) == ["shop.Order.ship <shop.Order 5> 'ups'"]


def test_what_spoils_the_tests_own_transaction_is_never_sent(order: Order) -> None:
    with record_tasks() as tasks:
        order.count.delay()
        with pytest.raises(ZeroDivisionError), transaction.atomic(savepoint=False):
            order.ship.delay_on_commit("dhl")
            raise ZeroDivisionError

    assert shown(tasks) == ["shop.Order.count <shop.Order 5>"]
    transaction.set_rollback(False)


def test_what_a_test_holds_back_is_shown_as_waiting(order: Order) -> None:
    with transaction.atomic(), record_tasks() as tasks:
        order.ship.delay_on_commit("dhl")
        with pytest.raises(AssertionError) as caught:
            tasks.assert_sent(order.ship)

    assert str(caught.value) == (
        "shop.Order.ship <shop.Order 5> was not sent. Nothing was sent.\n"
        "1 callback waits for a transaction in 'default' to commit."
    )


def test_what_waited_before_is_left_alone(order: Order) -> None:
    order.ship.delay_on_commit("before")
    with record_tasks() as tasks:
        order.ship.delay_on_commit("dhl")

    assert shown(tasks) == ["shop.Order.ship <shop.Order 5> 'dhl'"]


def test_commits_may_be_left_to_django(order: Order) -> None:
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


def test_eager_mode_is_off_while_recorded(order: Order, eager: None) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")
    order.count.delay()

    order.refresh_from_db()
    assert shown(tasks) == ["shop.Order.ship <shop.Order 5> 'dhl'"]
    assert (order.carrier, order.tries) == ("", 1)


def test_all_threads_are_recorded(order: Order) -> None:
    with record_tasks() as tasks:
        signature = order.ship.s("dhl")
        threads = [threading.Thread(target=signature.delay) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    tasks.assert_num_sent(20, order.ship)


def test_nested_recorders_each_have_what_is_sent_in_their_block(order: Order) -> None:
    with record_tasks() as outer:
        order.ship.delay("a")
        with record_tasks() as inner:
            order.ship.delay("b")
            assert len(inner.run()) == 1
        order.ship.delay("c")

        assert [each.args for each in outer] == [("a",), ("b",), ("c",)]
        assert [each.args for each in inner] == [("b",)]
        assert [each.args for each in outer.run()] == [("a",), ("c",)]


def test_recorders_may_end_in_any_order(order: Order, sent: Callable[[], list[Any]]) -> None:
    first, second = RecordedTasks(), RecordedTasks()
    first.close()
    first.close()
    order.ship.delay("dhl")
    second.close()

    assert (len(first), len(second)) == (0, 1)
    assert sent() == []


def test_another_app_is_recorded_by_itself() -> None:
    found = run(
        SETUP,
        """
        from celery import Celery

        from cereal_methods.testing import record_tasks
        from tests.shop.tasks import plain

        other = Celery("other", broker="amqp://127.0.0.1:1", set_as_current=False)

        @other.task(name="double")
        def double(number, times=2):
            return times * number

        with record_tasks() as own, record_tasks(other) as tasks:
            result = double.delay(4)
            plain.delay(1)
            tasks.run()
            print(result.get())
        tasks.assert_sent(double, 4)
        print(list(tasks), list(own))
        """,
    )

    assert found.splitlines() == [
        "8",
        "[<SentTask double 4>] [<SentTask tests.shop.tasks.plain 1>]",
    ]


def test_clear_forgets(order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")
        tasks.clear()
        order.count.delay()

    assert shown(tasks) == ["shop.Order.count <shop.Order 5>"]


def test_errors_of_sending_are_the_callers(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(TypeError):
            order.ship.delay()
        with pytest.raises(UnsavedInstance):
            order.meet.delay(Order())
        with pytest.raises(Exception, match="cannot carry"):
            unwrap.apply_async([object()], serializer="cereal-json")

    assert len(tasks) == 0


def test_what_could_never_have_been_sent_cannot_be_expected(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(TypeError) as too_many:
            tasks.assert_not_sent(order.ship, "dhl", "ups")
        with pytest.raises(RecordingError) as called:
            tasks.assert_not_sent(order.count())
        with pytest.raises(RecordingError, match=r"is Model\.save, which is no task"):
            tasks.assert_not_sent(order.save)
        with pytest.raises(InvalidModelTask):
            tasks.assert_not_sent(Order.ship, "dhl")
        with pytest.raises(UnsavedInstance):
            tasks.assert_not_sent(Order().ship)

    assert str(too_many.value) == (
        "tests.shop.models.Order.ship is never sent with these arguments: too many positional "
        "arguments."
    )
    assert str(called.value) == (
        "What is expected is of type int, which is no task. Name a method as order.ship or "
        "Order.ship, without calling it, a Celery task, or a task's name."
    )


@override_settings(CEREAL_METHODS={"ON_COMMIT": True})
def test_the_setting_on_commit_is_minded(order: Order) -> None:
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


def test_message_protocol_1_is_refused(order: Order) -> None:
    with record_tasks():
        app.amqp.create_task_message, before = app.amqp.as_task_v1, app.amqp.create_task_message
        try:
            with pytest.raises(RecordingError) as caught:
                plain.delay(1)
        finally:
            app.amqp.create_task_message = before

    assert str(caught.value) == (
        "tests.shop.tasks.plain is sent by message protocol 1, which cannot be recorded. Remove "
        "CELERY_TASK_PROTOCOL from the settings: protocol 2 is Celery's default."
    )
