"""Running what was recorded, as a worker would."""

from __future__ import annotations

import datetime
from typing import Any
from unittest import mock

import pytest
from django.db import models, transaction

from cereal_methods import model_task
from cereal_methods.exceptions import RecordingError
from cereal_methods.testing import RecordedTasks, assert_num_fetches, record_tasks
from tests.celery import app
from tests.shop.models import Customer, Order
from tests.shop.tasks import number_of, plain, total, wait

from ..recordings import shown

pytestmark = pytest.mark.django_db


def test_a_task_runs_once(order: Order) -> None:
    with record_tasks() as tasks:
        order.count.delay()
        tasks.run()
        order.count.delay()
        assert len(tasks.run()) == 1
        assert tasks.run() == []

    order.refresh_from_db()
    assert order.tries == 2


def test_effects_of_tasks_are_rolled_back_with_the_test_s_transaction(order: Order) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic(), record_tasks() as tasks:
        order.count.delay()
        tasks.run()
        raise ZeroDivisionError

    order.refresh_from_db()
    assert order.tries == 0


def test_a_failure_is_raised_after_all_tasks_have_run(order: Order, other: Order) -> None:
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


def test_failures_can_be_inspected_instead(order: Order) -> None:
    with record_tasks() as tasks:
        failed = order.fail.delay()
        assert len(tasks.run(propagate=False)) == 1

    assert failed.state == "FAILURE"


def test_missing_rows_discard_a_task(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.ship_or_not.delay()
        Order.objects.all().delete()
        tasks.run()

        with pytest.raises(RecordingError) as caught:
            result.get()
    assert result.state == "IGNORED"
    assert str(caught.value) == (
        f"Task {result.id} was discarded, so its result is never ready and get() would not return. "
        "Check its state instead."
    )


def test_bulks_have_one_result(order: Order, other: Order) -> None:
    Order.objects.create(pk=7, number="bad")
    with record_tasks() as tasks:
        rows = Order.objects.order_by("pk")
        single = Order.fail_if_bad.bulk_delay(rows)
        batch = Order.fail_if_bad.bulk_apply_async(rows, batch_size=10)
        with pytest.raises(RecordingError, match=f"^The result {single.id} does not exist"):
            single.get()
        Order.objects.filter(pk=6).delete()
        tasks.run(propagate=False)

        for result in (single, batch):
            counts = (result.total, result.succeeded, result.failed, result.missing)
            assert counts == (3, 1, 1, 1)
            assert result.get(propagate=False)[0] == "5"


def test_messages_that_tasks_send_run_after_their_commits(
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

    assert [task.args for task in tasks[1:]] == [("at once",), ("on commit",), ("later",)]
    assert all(task.has_run for task in tasks)


def test_a_task_that_sends_itself_endlessly_is_stopped(order: Order, new_models: None) -> None:
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
        "20 messages have run, and there are more. Does a task send itself without end? Most of "
        f"them were {name} (20). The next one is {name} 20. To run more messages, pass "
        "run(limit=...)."
    )


def test_an_unknown_task_cannot_run(order: Order) -> None:
    with record_tasks() as tasks:
        app.send_task("billing.charge", [5])
        order.count.delay()
        with pytest.raises(RecordingError) as caught:
            tasks.run()
        ran = tasks.run(elsewhere=["billing.charge"])

    assert str(caught.value) == (
        "billing.charge 5 cannot run, because this process does not know the task "
        "'billing.charge'. Import the module that defines it. If another project runs it, pass "
        "its name: run(elsewhere=['billing.charge'])."
    )
    assert shown(ran) == ["shop.Order.count <shop.Order 5>"]
    assert not tasks[0].has_run


def test_nothing_runs_after_the_recording_has_ended(order: Order) -> None:
    with record_tasks() as tasks:
        order.count.delay()
    with pytest.raises(RecordingError) as caught:
        tasks.run()

    assert str(caught.value) == (
        "The recording has ended, so tasks would be sent to the broker. Call run() inside the "
        "with block."
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
        with pytest.raises(RecordingError, match=r"^A task called run\(\) of"):
            tasks.run()


def test_waiting_for_a_result_is_refused(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.count.delay()
        with pytest.raises(RecordingError) as caught:
            result.get()
        tasks.run()

        assert result.get() == 1
    assert str(caught.value) == (
        f"The result {result.id} does not exist: its task was recorded, but has not run. Call "
        "run() of the recorder first."
    )


def test_revoked_and_expired_tasks_do_not_run(order: Order) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
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


def test_a_serializer_that_workers_refuse_is_refused(order: Order) -> None:
    with record_tasks() as tasks:
        plain.apply_async([1], serializer="yaml")
        with pytest.raises(RecordingError) as caught:
            tasks.run()

    assert str(caught.value) == (
        "Workers would drop tests.shop.tasks.plain 1: accept_content lacks 'yaml'. Add it to "
        "CELERY_ACCEPT_CONTENT."
    )


def test_compressed_messages(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.trace.apply_async(["x"], compression="gzip")
        tasks.run()

        assert result.get() == ["5", "x"]
    tasks.assert_sent(order.trace, "x")


def test_a_worker_in_this_process_keeps_what_it_has_prepared(order: Order) -> None:
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


def test_fetches_of_related_rows_are_counted(order: Order) -> None:
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
