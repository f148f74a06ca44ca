"""Tasks that run on their rows, as in a worker."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import pytest
from celery import chain, chord, group
from celery.app.task import Context
from celery.backends.base import KeyValueStoreBackend
from celery.exceptions import Ignore
from django.db import OperationalError, connection

from cereal_methods import ModelReference, task
from cereal_methods.exceptions import FunctionAborted, RowLocked
from cereal_methods.results.endings import Discarded, Replaced
from cereal_methods.running.invocation import invoke
from cereal_methods.running.locking import rows_locked
from cereal_methods.running.policy import RowPolicy
from cereal_methods.running.target import Target, call_function
from cereal_methods.testing import record_tasks
from tests.celery import app
from tests.shop.models import Customer, Line, Order
from tests.shop.tasks import count_to, labelled, mourn, number_of, plain, unwrap

from ..bodies import NAMES
from ..recordings import shown

pytestmark = pytest.mark.django_db


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


def test_instances_are_results_too(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.me.delay()
        tasks.run()

        assert result.get() == order
        assert result.get() is not order


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


def test_retries_run_on_rows_fetched_again(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        result = order.retry_until.delay(2)
        again = count_to.delay(other, 3)
        tasks.run()

        assert result.get() == (2, result.id)
        assert again.get() == 3
    assert [task.message.headers["retries"] for task in tasks.of(order.retry_until)] == [0, 1, 2]
    assert shown(tasks)[2].endswith("shop.Order.retry_until <shop.Order 5> 2 (retry 1)")


def test_retries_end_as_in_a_worker(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.retry_until.delay(9)
        with pytest.raises(Exception, match="Can't retry"):
            tasks.run()

    assert len(tasks) == 3
    assert result.state == "FAILURE"


def test_missing_rows_fail_the_task(order: Order) -> None:
    with record_tasks() as tasks:
        result = order.ship.delay("dhl")
        Order.objects.all().delete()
        with pytest.raises(Order.DoesNotExist, match=r"^shop\.Order 5 in database 'default'"):
            tasks.run()

    assert result.state == "FAILURE"


def test_missing_rows_are_fetched_again(order: Order, settings: Any) -> None:
    settings.CEREAL_METHODS = {"FETCH_MAX_RETRIES": 3}
    with record_tasks() as tasks:
        order.ship_later.delay()
        Order.objects.all().delete()
        with pytest.raises(Order.DoesNotExist):
            tasks.run()

    tasks.assert_num_sent(4, "tests.shop.models.Order.ship_later")


def test_missing_rows_call_an_on_missing_function(order: Order) -> None:
    with record_tasks() as tasks, mock.patch("tests.shop.models.mark") as mark:
        order.ship_or_note.delay()
        Order.objects.all().delete()
        tasks.run()

    assert mark.mock_calls[0].args == ("missing",)


def test_related_rows_are_fetched_too(order: Order) -> None:
    order.customer = Customer.objects.create(name="Ann")
    order.save()
    Line.objects.create(order=order, position=1)
    with record_tasks() as tasks:
        summary = order.summary.delay(order)
        tasks.run()

        assert summary.get() == ["Ann", [1], True]


def test_failed_rows_of_a_batch_are_failures(order: Order) -> None:
    Order.objects.create(pk=7, number="bad")
    with record_tasks() as tasks:
        Order.fail_if_bad.bulk_apply_async([5, 7], batch_size=10)
        with pytest.raises(ValueError, match=r"^order bad fails$"):
            tasks.run()


def test_replaced_tasks_keep_their_result(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        result = order.replaced.delay(other)
        tasks.run()

        assert result.get() == ["6", "5"]


def test_patched_methods_are_what_runs(order: Order) -> None:
    with record_tasks() as tasks:
        number_of.delay(order)
        tasks.run()
        number_of.delay(order)
        with mock.patch.object(number_of, "run", return_value="patched"):
            tasks.run()

        assert [task.result.get() for task in tasks] == ["5", "patched"]


def test_values_that_only_pickle_carries(order: Order) -> None:
    from tests.shop.tasks import Opaque

    with record_tasks() as tasks:
        result = unwrap.delay(Opaque(order))
        tasks.run()

        assert result.get() == "5"


def test_exceptions_that_end_a_task_can_be_pickled() -> None:
    locked = rows_locked("shop.Order", [5], "default")

    assert str(pickle.loads(pickle.dumps(locked))) == (
        "<shop.Order 5> is locked by another transaction."
    )
    for error in (Discarded(locked), Replaced("Replaced by new task")):
        copy = pickle.loads(pickle.dumps(error))
        assert isinstance(copy, Ignore)
        assert str(copy) == str(error)


@pytest.mark.parametrize("serializer", ["json", "cereal-json", "cereal-pickle"])
def test_a_result_backend_restores_row_locked(serializer: str) -> None:
    backend = KeyValueStoreBackend(app=app, serializer=serializer)
    stored = backend.prepare_exception(rows_locked("shop.Order", [5], "default"))

    restored = backend.exception_to_python(backend.decode(backend.encode(stored)))

    assert type(restored) is RowLocked
    assert str(restored) == "<shop.Order 5> is locked by another transaction."


@pytest.mark.parametrize("name", ["Timeout", "GreenletExit"])
def test_exceptions_of_pools_reach_the_pool(name: str) -> None:
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


def test_a_row_as_a_dict_key_is_the_same_object_as_elsewhere(order: Order) -> None:
    with record_tasks() as tasks:
        result = task(are_keys).delay(order, {order: 1})
        tasks.run()

        assert result.get() == [True]


def test_a_transaction_that_cannot_begin_is_a_failed_fetch(order: Order) -> None:
    error = OperationalError("the database is unreachable")
    target = Target("ship", Order.trace, RowPolicy(select_for_update={}), Order)
    kwargs = {"this": ModelReference.of(order)}

    with (
        mock.patch("cereal_methods.running.invocation.transaction.atomic", side_effect=error),
        pytest.raises(OperationalError) as caught,
    ):
        invoke(target, (), kwargs)

    assert caught.value is error


def test_a_direct_call_of_a_locking_method_runs_in_a_transaction(order: Order) -> None:
    def is_in_transaction(self: Order) -> bool:
        return connection.in_atomic_block and bool(connection.savepoint_ids)

    target = Target("ship", is_in_transaction, RowPolicy(select_for_update={}), Order)

    assert invoke(target, (), {"this": ModelReference.of(order)}) is True
