"""What ``celery_api.worker`` relies on of a worker and its consumer."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from billiard.process import BaseProcess
from celery import Celery, Task, bootsteps
from celery.contrib.testing.worker import start_worker
from celery.worker import WorkController
from celery.worker.consumer import Consumer

from cereal_methods.celery_api import worker as api

from .test_tasks import made


def test_time_limits_of_are_those_of_the_command_line(app: Celery) -> None:
    assert api.time_limits_of(SimpleNamespace()) == (None, None)
    worker = WorkController.__new__(WorkController)
    worker.app = app
    worker.setup_defaults(time_limit=20, soft_time_limit=10)

    assert api.time_limits_of(worker) == (20, 10)


class Strategies(dict[str, Any]):
    """Notes what handles messages."""

    def __init__(self, handled: list[str]) -> None:
        self.handled = handled

    def __setitem__(self, name: str, handle: Any) -> None:
        def noting(message: Any, body: Any, *args: Any, **kwargs: Any) -> Any:
            self.handled.append(f"{name} {body}")
            return handle(message, body, *args, **kwargs)

        super().__setitem__(name, noting)


def test_a_real_worker_calls_the_functions_set_on_its_consumer(app: Celery) -> None:
    handled: list[str] = []

    def wrap(create: Any) -> Any:
        def create_task_handler(*args: Any, **kwargs: Any) -> Any:
            handle = create(*args, **kwargs)

            def on_task_received(message: Any) -> Any:
                handled.append(f"received {message.headers.get('task')}")
                return handle(message)

            return on_task_received

        return create_task_handler

    def wrap_error(on_decode_error: Any) -> Any:
        def refuse(message: Any, error: Any) -> Any:
            handled.append(f"cannot decode {message.headers.get('task')}")
            return on_decode_error(message, error)

        return refuse

    class Step(bootsteps.Step):
        def __init__(self, consumer: Any, **options: Any) -> None:
            super().__init__(consumer, **options)
            api.set_strategies(consumer, Strategies(handled))
            api.wrap_message_handler(consumer, wrap)
            api.wrap_decode_error(consumer, wrap_error)

    app.steps["consumer"].add(Step)
    task = made(app, "one")
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="ERROR"):
        with app.producer_or_acquire() as producer:
            producer.publish(
                b"noise",
                routing_key="contract",
                exchange="",
                content_type="application/json",
                content_encoding="utf-8",
                headers={"task": "one", "id": "1", "compression": "application/x-gzip"},
            )
        assert task.delay(5).get(timeout=10) is None

    assert handled == ["cannot decode one", "received one", "one None"]


def test_set_strategies_is_what_a_consumer_fills_and_asks(app: Celery) -> None:
    made(app, "one")
    handled: list[str] = []
    consumer: Any = SimpleNamespace(app=app, hostname="here")
    api.set_strategies(consumer, Strategies(handled))

    with mock.patch.object(Task, "start_strategy", return_value=len):
        Consumer.update_strategies(consumer)

    assert set(consumer.strategies) == set(app.tasks)


def test_wrap_message_handler_wraps_the_method(app: Celery) -> None:
    consumer: Any = SimpleNamespace(create_task_handler=lambda: "handler")
    api.wrap_message_handler(consumer, lambda create: lambda: f"{create()}, wrapped")

    assert consumer.create_task_handler() == "handler, wrapped"
    assert callable(Consumer.create_task_handler)


def test_wrap_decode_error_wraps_the_method(app: Celery) -> None:
    consumer: Any = SimpleNamespace(on_decode_error=lambda message, error: message)
    api.wrap_decode_error(consumer, lambda handle: lambda *args: [handle(*args)])

    assert consumer.on_decode_error(1, 2) == [1]
    assert callable(Consumer.on_decode_error)


def test_leave_worker_closes_the_worker_s_resources(app: Celery, tmp_path: Path) -> None:
    """And lets the child have the signals of a process of its own."""
    read, write = os.pipe()
    told = tmp_path / "told"

    class Child(api.ChildProcess):  # type: ignore[misc,name-defined]
        def run(self) -> None:
            api.leave_worker(app, "child")
            try:
                os.fstat(write)
            except OSError:
                ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                told.write_text(f"closed, SIGINT ignored: {ignored}")

    child = Child()
    child.start()
    child.join(20)
    os.close(read)
    os.close(write)
    assert told.read_text() == "closed, SIGINT ignored: True"


def test_childprocess_is_of_the_library_of_the_pool() -> None:
    assert issubclass(api.ChildProcess, BaseProcess)
