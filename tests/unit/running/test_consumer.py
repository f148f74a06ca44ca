"""Messages that a consumer accepts or refuses; tests/worker/test_bad_messages has workers."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from celery.signals import celeryd_init
from kombu.message import Message
from kombu.serialization import prepare_accept_content, registry

from cereal_methods import ModelReference as Reference
from cereal_methods.exceptions import InvalidMessage
from cereal_methods.running.consumer import Strategies
from tests.celery import app
from tests.shop.tasks import plain

from ..bodies import call_body, encode

NAME = plain.name


class Consumer:
    """As much of a worker's consumer as checking messages needs."""

    def __init__(self) -> None:
        self.app = app
        self.connection_errors = (OSError,)
        self.event_dispatcher = mock.Mock()
        self.handled: list[Any] = []
        self.strategies = Strategies(self)
        self.strategies[NAME] = lambda message, body, *args: self.handled.append((body, *args))

    def receive(self, message: Any, body: Any = None) -> None:
        """Take in a message as Celery does."""
        self.strategies[NAME](message, body, "ack", "reject", [])


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


def message(payload: Any, serializer: str = "cereal-json", **headers: Any) -> Any:
    """Return a message as it comes from a broker."""
    received = Message(
        body=payload,
        content_type=registry.name_to_type[serializer],
        content_encoding="utf-8",
        headers={"id": "the-id", "task": NAME, **headers},
        delivery_info={"routing_key": "the-queue"},
        channel=mock.Mock(),
        accept=prepare_accept_content(["json", "cereal-json"]),
    )
    received.reject_log_error = mock.Mock()
    return received


def test_workers_have_the_step() -> None:
    worker = SimpleNamespace(app=SimpleNamespace(steps={"consumer": set()}))

    celeryd_init.send(sender="worker", instance=worker, conf=None, options={})

    assert worker.app.steps["consumer"] == {"cereal_methods.running.consumer:MessageChecks"}


@pytest.mark.parametrize(
    ("payload", "serializer"),
    [
        (encode(call_body(["dhl"]), "cereal-json"), "cereal-json"),
        ('[["dhl"],{},{}]', "json"),
        ('[["dhl"],{},null]', "json"),
        ('{"args":[],"kwargs":{}}', "json"),
    ],
)
def test_a_call_is_handled(consumer: Consumer, payload: Any, serializer: str) -> None:
    consumer.receive(message(payload, serializer))

    assert consumer.handled == [(None, "ack", "reject", [])]


def test_celery_handles_a_message_of_protocol_1(consumer: Consumer) -> None:
    body = {"task": NAME, "id": "1"}

    consumer.receive(message("[]", "json"), body)

    assert consumer.handled == [(body, "ack", "reject", [])]


@pytest.mark.parametrize(
    ("payload", "serializer", "reason"),
    [
        ("[]", "json", "The message is not a call of a task."),
        ("5", "json", "The message is not a call of a task."),
        ("[1", "json", "The message cannot be decoded: JSONDecodeError."),
        (
            encode({"status": "SUCCESS", "result": Reference("shop.Order", 5, "x")}, "cereal-json"),
            "cereal-json",
            "The message is the result of a task, not a call.",
        ),
        *(
            (
                payload,
                "cereal-json",
                "The message is not a call of a task.",
            )
            for payload in (
                encode({"status": "SUCCESS", "result": 1, "args": [], "kwargs": {}}, "cereal-json"),
                encode({"cereal": 1, "call": 2}, "cereal-json"),
                encode([1, "an-id", "SUCCESS", 5], "cereal-json"),
                encode([[], {}], "cereal-json"),
                encode([[], {}, []], "cereal-json"),
                encode(5, "cereal-json"),
            )
        ),
        (
            "[[",
            "cereal-json",
            "The body of a message cannot be read: JSONDecodeError. Either the message was damaged "
            "on its way, or this process does not have a class that it contains.",
        ),
        (
            b"\x80\x04].",
            "pickle",
            "Refusing to deserialize untrusted content of type pickle "
            "(application/x-python-serialize) Send it with serializer='cereal-pickle'.",
        ),
        (
            "- [[]",
            "yaml",
            "Refusing to deserialize untrusted content of type yaml (application/x-yaml) Add its "
            "serializer to accept_content here.",
        ),
    ],
)
def test_a_message_that_is_not_a_call_fails(
    consumer: Consumer,
    caplog: pytest.LogCaptureFixture,
    payload: Any,
    serializer: str,
    reason: str,
) -> None:
    received = message(payload, serializer, id=f"{serializer}-{hash(payload)}")

    with caplog.at_level(logging.ERROR):
        consumer.receive(received)

    assert consumer.handled == []
    result = app.AsyncResult(received.headers["id"])
    assert result.state == "FAILURE"
    assert isinstance(result.result, InvalidMessage)
    assert str(result.result) == reason
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"Task {NAME}[{result.id}] fails before it starts: {reason} If your own code sent it, "
    )
    received.reject_log_error.assert_called_once_with(
        logging.getLogger("cereal_methods"), (OSError,)
    )
    ((kind,), told) = consumer.event_dispatcher.send.call_args
    assert (kind, told["uuid"]) == ("task-failed", result.id)


def test_a_failure_is_not_stored_where_results_are_ignored(consumer: Consumer) -> None:
    consumer.receive(message("[]", "json", id="ignored", ignore_result=True))

    assert app.AsyncResult("ignored").state == "PENDING"


def test_an_unavailable_backend_does_not_end_the_worker(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    received = message("[]", "json")

    with mock.patch.object(type(app.backend), "mark_as_failure", side_effect=OSError):
        consumer.receive(received)

    assert f"The failure of task {NAME}[the-id] could not be stored." in caplog.text
    received.reject_log_error.assert_called_once()


def test_an_id_cannot_add_lines_to_the_log(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    consumer.receive(message("[]", "json", id="a\nTask b" + "c" * 500))

    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert f"[a Task b{'c' * 92}]" in record.getMessage()


def test_a_content_type_cannot_add_lines_to_the_log(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    received = message("[]", "json")
    received.content_type = "a\nTask b" + "c" * 5000

    consumer.receive(received)

    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 1000


def test_a_message_without_an_id_stores_no_state(
    consumer: Consumer, caplog: pytest.LogCaptureFixture
) -> None:
    consumer.receive(message("[[],{},{}]", "json", id=None))

    assert consumer.handled == []
    assert "fails before it starts: The message has no id." in caplog.text


def test_a_worker_without_events_refuses_messages_too(consumer: Consumer) -> None:
    consumer.event_dispatcher = None

    consumer.receive(message("[]", "json", id="without-events"))

    assert app.AsyncResult("without-events").state == "FAILURE"
