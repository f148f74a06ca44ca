"""A row that is deleted while its task waits."""

from __future__ import annotations

import pytest
from celery.states import FAILURE

from tests.shop.models import Order
from tests.shop.tasks import mourn, number_of

from .workers import Worker

SECONDS = 30


def gone(pk: int) -> str:
    return (
        f"shop.Order {pk} in database 'default' does not exist: deleted after the task was sent, "
        "or not committed yet when the task ran."
    )


def delete_before_the_run(order: Order) -> int:
    pk: int = order.pk
    Order.objects.filter(pk=pk).delete()
    return pk


def test_a_method_of_a_deleted_row_fails_with_its_does_not_exist(worker: Worker) -> None:
    order = Order.objects.create()
    result = order.ship.apply_async(["dhl"], countdown=1)
    pk = delete_before_the_run(order)

    with pytest.raises(Order.DoesNotExist) as caught:
        result.get(timeout=SECONDS)

    assert str(caught.value) == gone(pk)
    assert result.state == FAILURE
    assert "begin" not in [event["what"] for event in worker.events()]


def test_a_method_sent_as_json_fails_in_the_same_way(worker: Worker) -> None:
    order = Order.objects.create()
    result = order.ship_as_json.apply_async(["dhl"], countdown=1)
    pk = delete_before_the_run(order)

    with pytest.raises(Order.DoesNotExist) as caught:
        result.get(timeout=SECONDS)

    assert str(caught.value) == gone(pk)


def test_on_failure_of_any_task_class_runs_and_can_look_at_the_arguments(worker: Worker) -> None:
    order = Order.objects.create()
    result = number_of.apply_async([order], countdown=1)
    pk = delete_before_the_run(order)

    with pytest.raises(Order.DoesNotExist):
        result.get(timeout=SECONDS)

    (hook,) = worker.wait_for(
        lambda: [event for event in worker.events() if event["what"] == "on_failure"], "the hook"
    )
    assert hook["error"] == "Order.DoesNotExist"
    assert hook["args"] == f"('<shop.Order {pk}>',)"
    assert hook["first"] == f"<shop.Order {pk}>"


def test_errbacks_run_with_instances_that_are_still_there(worker: Worker) -> None:
    order, other = Order.objects.create(), Order.objects.create(number="2026-7777")
    result = order.ship.apply_async(["dhl"], countdown=1, link_error=mourn.s(other))
    delete_before_the_run(order)

    with pytest.raises(Order.DoesNotExist):
        result.get(timeout=SECONDS)

    (errback,) = worker.wait_for(
        lambda: [event for event in worker.events() if event["what"] == "errback"], "the errback"
    )
    assert errback["error"] == "Order.DoesNotExist"
    assert errback["number"] == "2026-7777"
    assert errback["id"] == result.id


def test_the_worker_goes_on(worker: Worker) -> None:
    order, other = Order.objects.create(), Order.objects.create()
    result = order.ship.apply_async(["dhl"], countdown=1)
    delete_before_the_run(order)
    with pytest.raises(Order.DoesNotExist):
        result.get(timeout=SECONDS)

    assert other.ship.delay("dhl").get(timeout=SECONDS) == "shipped"
    assert worker.process.poll() is None
