"""Running what was recorded, as a worker would."""

from __future__ import annotations

import datetime
import pickle
from typing import Any
from unittest import mock

import pytest
from celery import chain, chord, group
from celery.app.task import Context
from celery.backends.base import KeyValueStoreBackend
from celery.exceptions import Ignore
from django.db import models, transaction

from cereal_methods import model_task, task
from cereal_methods.exceptions import FunctionAborted, RecordingError
from cereal_methods.failures import Discarded, Replaced
from cereal_methods.policies import RowLocked, RowPolicy, rows_locked
from cereal_methods.targets import Target, call_function
from cereal_methods.testing import RecordedTasks, assert_num_fetches, record_tasks
from tests.celery import app
from tests.shop.models import Customer, Line, Order
from tests.shop.tasks import count_to, labelled, mourn, number_of, plain, total, unwrap, wait

from .bodies import NAMES
from .recordings import shown

pytestmark = pytest.mark.django_db


@pytest.fixture
def order() -> Order:
    return Order.objects.create(pk=5, number="5")


@pytest.fixture
def other() -> Order:
    return Order.objects.create(pk=6, number="6")


@pytest.mark.parametrize("name", [*NAMES, "json"])
def test_a_method_runs_on_a_fresh_row(name: str, order: Order) -> None:
    with record_tasks() as tasks:
        result = order.trace.apply_async(["x"], serializer=name)
        Order.objects.update(number="changed since")
        ran = tasks.run()

        assert result.get() == ["changed since", "x"]
    assert result.get() == ["changed since", "x"]
    assert ran == list(tasks)
    assert tasks[0].has_run
    assert tasks[0].result.state == "SUCCESS"


def test_a_task_runs_once(order: Order) -> None:
    with record_tasks() as tasks:
        order.count.delay()
        tasks.run()
        order.count.delay()
        assert len(tasks.run()) == 1
        assert tasks.run() == []

    order.refresh_from_db()
    assert order.tries == 2


def test_instances_are_results_too(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.me.delay()
        tasks.run()

        assert result.get() == order
        assert result.get() is not order


def test_nothing_is_left_in_the_database_that_was_in_the_test(order: Order) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(), record_tasks() as tasks:
        order.count.delay()
        tasks.run()
        raise ZeroDivisionError

    order.refresh_from_db()
    assert order.tries == 0


def test_chains_run_in_order_with_their_results(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        result = chain(order.ship.s("dhl"), other.trace.s("x"), labelled.s(this=order))()
        tasks.run()

        assert result.get() == ["labelled", "5", ["6", "shipped", "x"]]
    assert shown(tasks) == [
        "shop.Order.ship <shop.Order 5> 'dhl' | shop.Order.trace <shop.Order 6> 'x' | "
        "tests.shop.tasks.labelled <shop.Order 5>",
        "shop.Order.trace <shop.Order 6> 'shipped' 'x' | tests.shop.tasks.labelled <shop.Order 5>",
        "tests.shop.tasks.labelled <shop.Order 5> ['6', 'shipped', 'x']",
    ]
    tasks.assert_sent(other.trace, "shipped", "x")


def test_groups_and_chords(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        many = group(order.trace.s("a"), other.trace.s("b")).delay()
        after = chord([order.trace.s("c"), other.me.s()], order.itself.s())()
        tasks.run()

        assert many.get() == [["5", "a"], ["6", "b"]]
        row, (first, second), named = after.get()
        assert (row, first, second, named) == (order, ["5", "c"], other, {})


def test_links_follow(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        order.ship.apply_async(["dhl"], link=[other.trace.s(), plain.s(1)])
        tasks.run()

    tasks.assert_sent(other.trace, "shipped")
    tasks.assert_sent(plain, "shipped", 1)


def test_errbacks_are_called(order: Order, other: Order) -> None:
    with record_tasks() as tasks, mock.patch("tests.shop.models.mark") as mark:
        failed = order.fail.apply_async(
            link_error=[other.on_error.s(), other.on_error_id.s()], link=order.count.s()
        )
        with mock.patch("tests.shop.tasks.mark") as mourned:
            order.fail.apply_async(link_error=mourn.s(order=other))
            tasks.run(propagate=False)

    calls = [call.kwargs for call in mark.mock_calls if call.args == ("errback",)]
    assert calls == [
        {"number": "6", "error": "order 5 fails", "id": failed.id},
        {"number": "6", "id": failed.id},
    ]
    assert mourned.mock_calls[0].kwargs["number"] == "6"
    tasks.assert_not_sent(order.count)


def test_a_failure_is_raised_when_all_is_done(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        failed = order.fail.delay()
        other.count.delay()
        with pytest.raises(ValueError, match=r"^order 5 fails$") as caught:
            tasks.run()
        with pytest.raises(ValueError, match=r"^order 5 fails$"):
            failed.get()

    assert caught.traceback[-1].name == "fail"
    assert failed.state == "FAILURE"
    assert failed.get(propagate=False).args == ("order 5 fails",)
    other.refresh_from_db()
    assert other.tries == 1


def test_failures_can_be_looked_at_instead(order: Order) -> None:
    with record_tasks() as tasks:
        failed = order.fail.delay()
        assert len(tasks.run(propagate=False)) == 1

    assert failed.state == "FAILURE"


def test_retries_run_on_rows_fetched_again(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        result = order.retry_until.delay(2)
        again = count_to.delay(other, 3)
        tasks.run()

        assert result.get() == (2, result.id)
        assert again.get() == 3
    assert [each.message.headers["retries"] for each in tasks.of(order.retry_until)] == [0, 1, 2]
    assert shown(tasks)[2].endswith("shop.Order.retry_until <shop.Order 5> 2 (retry 1)")


def test_retries_end_as_in_a_worker(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.retry_until.delay(9)
        with pytest.raises(Exception, match="Can't retry"):
            tasks.run()

    assert len(tasks) == 3
    assert result.state == "FAILURE"


def test_rows_that_are_gone_are_a_failure(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.ship.delay("dhl")
        Order.objects.all().delete()
        with pytest.raises(Order.DoesNotExist, match=r"^shop\.Order 5 in database 'default'"):
            tasks.run()

    assert result.state == "FAILURE"


def test_rows_that_are_gone_discard_a_task(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.ship_or_not.delay()
        Order.objects.all().delete()
        tasks.run()

        with pytest.raises(RecordingError) as caught:
            result.get()
    assert result.state == "IGNORED"
    assert str(caught.value) == (
        f"Task {result.id} was discarded: its result is never ready, and get() on it waits for its "
        "timeout. Look at its state."
    )


def test_rows_that_are_gone_are_looked_for_again(order: Order, settings: Any) -> None:
    settings.CEREAL_METHODS = {"FETCH_MAX_RETRIES": 3}
    with record_tasks() as tasks:
        order.ship_later.delay()
        Order.objects.all().delete()
        with pytest.raises(Order.DoesNotExist):
            tasks.run()

    tasks.assert_num_sent(4, "tests.shop.models.Order.ship_later")


def test_rows_that_are_gone_call_a_function(order: Order) -> None:
    with record_tasks() as tasks, mock.patch("tests.shop.models.mark") as mark:
        order.ship_or_note.delay()
        Order.objects.all().delete()
        tasks.run()

    assert mark.mock_calls[0].args == ("missing",)


def test_related_rows_are_fetched_along(order: Order) -> None:
    order.customer = Customer.objects.create(name="Ann")
    order.save()
    Line.objects.create(order=order, position=1)
    with record_tasks() as tasks:
        summary = order.summary.delay(order)
        tasks.run()

        assert summary.get() == ["Ann", [1], True]


def test_bulks_have_one_result(order: Order, other: Order) -> None:
    Order.objects.create(pk=7, number="bad")
    with record_tasks() as tasks:
        rows = Order.objects.order_by("pk")
        single = Order.fail_if_bad.bulk_delay(rows)
        batch = Order.fail_if_bad.bulk_apply_async(rows, batch_size=10)
        with pytest.raises(RecordingError, match=f"^The result {single.id} is not there"):
            single.get()
        Order.objects.filter(pk=6).delete()
        tasks.run(propagate=False)

        for result in (single, batch):
            counts = (result.total, result.succeeded, result.failed, result.missing)
            assert counts == (3, 1, 1, 1)
            assert result.get(propagate=False)[0] == "5"


def test_failed_rows_of_a_batch_are_failures(order: Order) -> None:
    Order.objects.create(pk=7, number="bad")
    with record_tasks() as tasks:
        Order.fail_if_bad.bulk_apply_async([5, 7], batch_size=10)
        with pytest.raises(ValueError, match=r"^order bad fails$"):
            tasks.run()


def test_what_tasks_send_runs_too_after_their_commits(
    order: Order, other: Order, new_models: None
) -> None:
    class Sender(models.Model):
        class Meta:
            app_label = "shop"

        @model_task
        @classmethod
        def send(cls, first: Order, then: Order) -> None:
            with transaction.atomic():
                first.trace.delay_on_commit("on commit")
                then.trace.delay("at once")
            then.trace.delay_on_commit("later")

    with record_tasks() as tasks:
        Sender.send.delay(order, other)
        tasks.run()

    assert [each.args for each in tasks[1:]] == [("at once",), ("on commit",), ("later",)]
    assert all(each.has_run for each in tasks)


def test_a_task_that_sends_itself_for_ever_is_stopped(order: Order, new_models: None) -> None:
    class Endless(models.Model):
        class Meta:
            app_label = "shop"

        @model_task
        @classmethod
        def go(cls, step: int) -> None:
            cls.go.delay(step + 1)

    with record_tasks() as tasks:
        Endless.go.delay(0)
        with pytest.raises(RecordingError) as caught:
            tasks.run(limit=20)

    name = f"{__name__}.Endless.go"
    assert str(caught.value) == (
        "20 messages have run, and more are left: does a task send itself for ever? Next is "
        f"{name} 20. Most were of {name}. If they are so many, call run(limit=...)."
    )


def test_a_task_that_this_process_lacks_cannot_run(order: Order) -> None:
    with record_tasks() as tasks:
        app.send_task("billing.charge", [5])
        order.count.delay()
        with pytest.raises(RecordingError) as caught:
            tasks.run()
        ran = tasks.run(elsewhere=["billing.charge"])

    assert str(caught.value) == (
        "billing.charge 5 cannot be run: this process has no task 'billing.charge'. Import the "
        "module that defines it. If it is another project's, name it in "
        "run(elsewhere=['billing.charge'])."
    )
    assert shown(ran) == ["shop.Order.count <shop.Order 5>"]
    assert not tasks[0].has_run


def test_nothing_runs_when_the_recording_is_over(order: Order) -> None:
    with record_tasks() as tasks:
        order.count.delay()
    with pytest.raises(RecordingError) as caught:
        tasks.run()

    assert str(caught.value) == (
        "The recording is over, and what its tasks send would go to the broker. Call run() inside "
        "of the with block."
    )


def test_a_task_cannot_run_the_recorder(new_models: None) -> None:
    recorders: list[RecordedTasks] = []

    class Runner(models.Model):
        class Meta:
            app_label = "shop"

        @model_task
        @classmethod
        def go(cls) -> None:
            recorders[0].run()

    with record_tasks() as tasks:
        recorders.append(tasks)
        Runner.go.delay()
        with pytest.raises(RecordingError, match=r"^A recorded task has called run"):
            tasks.run()


def test_a_result_is_not_waited_for(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.count.delay()
        with pytest.raises(RecordingError) as caught:
            result.get()
        tasks.run()

        assert result.get() == 1
    assert str(caught.value) == (
        f"The result {result.id} is not there: its task is recorded, and has not run. Call run() "
        "of the recorder before you ask for results."
    )


def test_replaced_tasks_keep_their_result(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        result = order.replaced.delay(other)
        tasks.run()

        assert result.get() == ["6", "5"]


def test_revoked_and_expired_tasks_do_not_run(order: Order) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    with record_tasks() as tasks:
        revoked, expired = order.count.delay(), order.count.apply_async(expires=past)
        bulk = Order.count.bulk_delay([5])
        revoked.revoke()
        bulk.revoke()
        order.count.delay()
        tasks.run()

    order.refresh_from_db()
    assert order.tries == 1
    assert (revoked.state, expired.state) == ("REVOKED", "REVOKED")


def test_a_serializer_that_workers_refuse(order: Order) -> None:
    with record_tasks() as tasks:
        plain.apply_async([1], serializer="yaml")
        with pytest.raises(RecordingError) as caught:
            tasks.run()

    assert str(caught.value) == (
        "Workers would drop tests.shop.tasks.plain 1: accept_content lacks 'yaml'."
    )


def test_compressed_messages(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.trace.apply_async(["x"], compression="gzip")
        tasks.run()

        assert result.get() == ["5", "x"]
    tasks.assert_sent(order.trace, "x")


def test_patched_methods_are_what_runs(order: Order) -> None:
    with record_tasks() as tasks:
        number_of.delay(order)
        tasks.run()
        number_of.delay(order)
        with mock.patch.object(number_of, "run", return_value="patched"):
            tasks.run()

        assert [each.result.get() for each in tasks] == ["5", "patched"]


def test_what_a_worker_in_this_process_has_prepared_is_left_to_it(order: Order) -> None:
    with mock.patch.object(number_of, "__trace__") as prepared, record_tasks() as tasks:
        number_of.delay(order)
        tasks.run()

        assert number_of.__trace__ is prepared
    prepared.assert_not_called()
    assert tasks[0].result.get() == "5"


def test_tasks_know_their_request(order: Order, new_models: None) -> None:
    class Asking(models.Model):
        class Meta:
            app_label = "shop"

        @model_task(bind=True)
        @classmethod
        def ask(cls, task: Any) -> list[Any]:
            request = task.request
            return [request.is_eager, request.called_directly, request.delivery_info["routing_key"]]

    with record_tasks() as tasks:
        result = Asking.ask.apply_async(queue="slow")
        tasks.run()

        assert result.get() == [False, False, "slow"]


def test_values_that_only_pickle_carries(order: Order) -> None:
    from tests.shop.tasks import Opaque

    with record_tasks() as tasks:
        result = unwrap.delay(Opaque(order))
        tasks.run()

        assert result.get() == "5"


def test_fetches_are_counted(order: Order, other: Order) -> None:
    customer = Customer.objects.create(name="Ann")
    with record_tasks() as tasks:
        order.meet.delay(other, other)
        total.delay({"pages": [[order, other]], "customers": [{"customer": customer}]})
        plain.delay(1)
        with assert_num_fetches(3) as made:
            tasks.run()

    assert made[0] == ('SELECT ... FROM "shop_order" WHERE "shop_order"."id" IN (%s, %s) (5, 6)')
    assert len(made) == 3


def test_fetches_are_counted_with_what_is_fetched_along(order: Order) -> None:
    with record_tasks() as tasks:
        order.summary.delay()
        with assert_num_fetches(2):
            tasks.run()


def test_fetches_of_results_are_counted(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.me.delay()
        tasks.run()
        with assert_num_fetches(1):
            result.get()


def test_a_wrong_number_of_fetches_shows_them(order: Order) -> None:
    with record_tasks() as tasks:
        order.trace.delay()
        with pytest.raises(AssertionError) as caught, assert_num_fetches(2):
            tasks.run()
    with pytest.raises(AssertionError) as none, assert_num_fetches(1):
        order.refresh_from_db()

    assert str(caught.value) == (
        "1 fetch was made, 2 expected:\n"
        '  1. SELECT ... FROM "shop_order" WHERE "shop_order"."id" = %s (5,)'
    )
    assert str(none.value) == "0 fetches were made, 1 expected."


def test_an_error_in_the_block_is_not_hidden_by_the_count() -> None:
    with pytest.raises(ZeroDivisionError), assert_num_fetches(5):
        raise ZeroDivisionError


def test_waiting_tasks_run_at_once(order: Order) -> None:
    with record_tasks() as tasks:
        result = wait.apply_async([order, 0], countdown=3600)
        tasks.run()

        assert result.get() == "5"


def test_what_ends_a_task_comes_through_the_pipe_of_a_pool() -> None:
    locked = rows_locked("shop.Order", [5], "default")

    assert str(pickle.loads(pickle.dumps(locked))) == (
        "<shop.Order 5> is locked by another transaction."
    )
    for error in (Discarded(locked), Replaced("Replaced by new task")):
        found = pickle.loads(pickle.dumps(error))
        assert isinstance(found, Ignore)
        assert str(found) == str(error)


@pytest.mark.parametrize("serializer", ["json", "cereal-json", "cereal-pickle"])
def test_a_locked_row_is_told_by_a_result_backend(serializer: str) -> None:
    backend = KeyValueStoreBackend(app=app, serializer=serializer)
    stored = backend.prepare_exception(rows_locked("shop.Order", [5], "default"))

    found = backend.exception_to_python(backend.decode(backend.encode(stored)))

    assert type(found) is RowLocked
    assert str(found) == "<shop.Order 5> is locked by another transaction."


@pytest.mark.parametrize("name", ["Timeout", "GreenletExit"])
def test_what_a_pool_ends_a_task_with_reaches_the_pool(name: str) -> None:
    ended: Any = type(name, (BaseException,), {})

    def function() -> None:
        raise ended

    target = Target("function", function, RowPolicy())
    with pytest.raises(ended):
        call_function(target, None, Context(called_directly=False), None, (), {})
    ended.__name__ = "Other"
    with pytest.raises(FunctionAborted):
        call_function(target, None, Context(called_directly=False), None, (), {})


def are_keys(order: Order, keyed: dict[Order, int]) -> list[bool]:
    return [key is order for key in keyed]


def test_a_row_that_is_a_key_is_the_row_that_it_is_elsewhere(order: Order) -> None:
    with record_tasks() as tasks:
        result = task(are_keys).delay(order, {order: 1})
        tasks.run()

        assert result.get() == [True]
