"""What a recorder records, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from cereal_methods import ModelReference
from cereal_methods.exceptions import RecordingError, UnsavedInstance
from cereal_methods.testing import RecordedTasks, record_tasks
from tests.celery import app
from tests.shop.models import Order
from tests.shop.tasks import plain, unwrap

from ..interpreters import run_program
from .calls import values_of

pytestmark = pytest.mark.django_db


def test_messages_are_recorded_and_not_sent(order: Order, sent: Callable[[], list[Any]]) -> None:
    with record_tasks() as tasks:
        result = order.ship.delay("dhl", express=True)

    assert sent() == []
    assert len(tasks) == 1
    assert tasks[0].id == result.id
    assert tasks[0].name == "tests.shop.models.Order.ship"
    assert tasks[0].row == ModelReference.of(order)
    assert tasks[0].args == ("dhl",)
    assert tasks[0].kwargs == {"express": True}
    assert tasks[0].serializer == "cereal-pickle"
    assert not tasks[0].has_run
    assert repr(tasks[0]) == "<SentTask shop.Order.ship <shop.Order 5> 'dhl' express=True>"


def test_the_app_is_restored_afterwards(order: Order, sent: Callable[[], list[Any]]) -> None:
    names = ("send_task_message", "create_task_message", "broadcast")

    def state() -> list[Any]:
        parts = (vars(app.amqp), vars(app.control))
        values = [part.get(name) for part in parts for name in names]
        return [values, dict(app.conf.changes), app.backend]

    order.count.delay()
    before = state()
    with record_tasks() as tasks:
        assert state() != before
    assert state() == before
    order.ship.delay("dhl")

    assert [message.headers["task"] for message in sent()] == [order.count.name, order.ship.name]
    assert len(tasks) == 0


def test_eager_mode_is_off_while_recorded(order: Order, eager: None) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")
    order.count.delay()

    order.refresh_from_db()
    assert values_of(tasks) == [("ship", 5, "dhl")]
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

        assert [task.args for task in outer] == [("a",), ("b",), ("c",)]
        assert [task.args for task in inner] == [("b",)]
        assert [task.args for task in outer.run()] == [("a",), ("c",)]


def test_recorders_may_end_in_any_order(order: Order, sent: Callable[[], list[Any]]) -> None:
    first, second = RecordedTasks(), RecordedTasks()
    first.close()
    first.close()
    order.ship.delay("dhl")
    second.close()

    assert (len(first), len(second)) == (0, 1)
    assert sent() == []


def test_another_app_is_recorded_separately() -> None:
    printed = run_program("recorded_app")

    assert printed.splitlines() == ["8", "['double'] ['tests.shop.tasks.plain']"]


def test_clear_forgets(order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")
        tasks.clear()
        order.count.delay()

    assert values_of(tasks) == [("count", 5)]


def test_errors_while_sending_reach_the_caller(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(TypeError):
            order.ship.delay()
        with pytest.raises(UnsavedInstance):
            order.meet.delay(Order())
        with pytest.raises(Exception, match="cannot carry"):
            unwrap.apply_async([object()], serializer="cereal-json")

    assert len(tasks) == 0


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
        "CELERY_TASK_PROTOCOL from the settings. The default is protocol 2."
    )
