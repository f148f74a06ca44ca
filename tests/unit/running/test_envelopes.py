"""Headers that would end a worker; tests/worker/test_attacks has workers."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from kombu.message import Message
from kombu.serialization import prepare_accept_content

from cereal_methods.running import envelopes
from cereal_methods.running.compressions import bound_decompression
from cereal_methods.running.consumer import MessageChecks
from tests.celery import app
from tests.shop.tasks import plain

NAME = plain.name

#: Headers of a wrong type, each of which Celery believes.
WRONG: list[dict[str, Any]] = [
    {"task": ["x"]},
    {"task": {}},
    {"task": 5},
    {"task": ""},
    {"task": "a\nb"},
    {"task": "x" * 1001},
    {"id": ["x"]},
    {"id": {}},
    {"id": None},
    {"id": "a\nTask b succeeded"},
    {"id": "x" * 1001},
    {"timelimit": 5},
    {"timelimit": [1]},
    {"timelimit": ["x", None]},
    {"timelimit": [True, None]},
    {"timelimit": [-1, None]},
    {"timelimit": [float("nan"), None]},
    {"timelimit": [1e300, None]},
    {"stamped_headers": 5},
    {"stamped_headers": [[]]},
    {"stamps": 5},
    {"eta": 5},
    {"eta": ["x"]},
    {"eta": "tomorrow"},
    {"expires": 5},
    {"expires": {}},
    {"expires": "x" * 1000},
    {"retries": "x"},
    {"retries": -1},
    {"retries": 1e300},
    {"group": []},
    {"group_index": "x"},
    {"root_id": []},
    {"parent_id": {}},
    {"shadow": 5},
    {"shadow": "a\nb"},
    {"argsrepr": []},
    {"kwargsrepr": 5},
    {"origin": {}},
    {"headers": 5},
    {"ignore_result": "x"},
    {"replaced_task_nesting": []},
]

RIGHT: list[dict[str, Any]] = [
    {},
    {"timelimit": [None, None]},
    {"timelimit": (300, 0.5)},
    {"eta": "2030-01-01T00:00:00+00:00", "expires": "2030-01-01T00:00:00"},
    {"eta": datetime(2030, 1, 1, tzinfo=UTC)},
    {"shadow": "shop: ship", "argsrepr": "('a\nb',)", "retries": 3},
    {"stamped_headers": ["a"], "stamps": {"a": ["b"]}, "headers": {"x": 1}},
    {"id": "order 5 größe"},
    {"group": "g", "group_index": 0, "root_id": None, "origin": "gen1@host"},
]


def message(body: str = '[["a"],{},null]', **headers: Any) -> Any:
    """Return a message as it comes from a broker."""
    return Message(
        body=body,
        content_type="application/json",
        content_encoding="utf-8",
        headers={"id": "the-id", "task": NAME, **headers},
        delivery_info={"routing_key": "the-queue"},
        channel=mock.Mock(no_ack_consumers=None),
        accept=prepare_accept_content(["json", "cereal-json"]),
    )


class Consumer:
    """As much of a worker's consumer as taking in a message needs."""

    def __init__(self, raises: Exception | None = None) -> None:
        self.app = app
        self.connection_errors = (OSError,)
        self.event_dispatcher = mock.Mock()
        self.taken: list[Any] = []
        self.undecoded: list[Any] = []
        self.raises = raises
        MessageChecks(self)
        self.receive = self.create_task_handler()

    def create_task_handler(self) -> Any:
        """Return what takes in a message, or cannot."""

        def take(message: Any) -> None:
            if self.raises is not None:
                raise self.raises
            self.taken.append(message)

        return take

    def on_decode_error(self, message: Any, error: Any) -> None:
        """Record what kombu could not decode."""
        self.undecoded.append(error)


@pytest.mark.parametrize("headers", RIGHT, ids=str)
def test_an_ordinary_envelope_is_accepted(headers: dict[str, Any]) -> None:
    consumer = Consumer()

    consumer.receive(message(**headers))

    assert len(consumer.taken) == 1


@pytest.mark.parametrize("headers", WRONG, ids=lambda headers: str(headers)[:40])
def test_a_header_of_a_wrong_type_is_refused_with_one_line(
    headers: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    consumer, received = Consumer(), message(**headers)

    consumer.receive(received)

    assert consumer.taken == []
    assert received.acknowledged
    (record,) = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 1000
    assert "fails before it starts: " in record.getMessage()


def test_a_refused_message_has_a_state() -> None:
    consumer = Consumer()

    consumer.receive(message(id="of-a-limit", timelimit=5))
    consumer.receive(message(id="of-no-task", task=["x"]))

    for task_id in ("of-a-limit", "of-no-task"):
        assert app.AsyncResult(task_id).state == "FAILURE"
    assert str(app.AsyncResult("of-a-limit").result) == (
        "The message's header 'timelimit' cannot be read: it is 5."
    )


@pytest.mark.parametrize(
    "body",
    [
        {"task": NAME, "id": ["x"], "args": [], "kwargs": {}},
        {"task": ["x"], "id": "1", "args": [], "kwargs": {}},
        {"task": NAME, "id": "1", "args": 5, "kwargs": {}},
        {"task": NAME, "id": "1", "args": [], "kwargs": 5},
        {"task": NAME, "id": "1", "args": [], "kwargs": {}, "timelimit": 5},
        {"task": NAME, "args": [], "kwargs": {}},
        {"id": "1"},
        [],
        5,
    ],
    ids=str,
)
def test_a_message_of_protocol_1_is_checked_too(body: Any) -> None:
    consumer, received = Consumer(), message(json.dumps(body))
    del received.headers["task"], received.headers["id"]

    consumer.receive(received)

    assert consumer.taken == []
    assert received.acknowledged


def test_a_valid_message_of_protocol_1_is_accepted() -> None:
    received = message(json.dumps({"task": NAME, "id": "1", "args": [], "kwargs": {}}))
    del received.headers["task"], received.headers["id"]

    assert envelopes.error_in(received) is None


@pytest.mark.django_db
def test_a_result_without_a_task_is_not_fetched_in_the_consumer(
    django_assert_num_queries: Any,
) -> None:
    received = message('{"cereal":1,"refs":[["shop.Order",1,"default"]],"result":10}\n{"$ref":0}')
    received.content_type = "application/x-cereal-json"
    received.headers.clear()

    with django_assert_num_queries(0):
        error = envelopes.error_in(received)

    assert str(error) == "The message cannot be decoded: DecodeError."


def test_headers_that_are_not_a_dict_are_refused() -> None:
    received = SimpleNamespace(headers=["task"], properties={})

    assert str(envelopes.error_in(received)) == (
        "The message's headers are a list of length 1 and not a dict."
    )


@pytest.mark.parametrize("name", ["correlation_id", "reply_to"])
def test_properties_of_a_wrong_type_are_refused(name: str) -> None:
    received = message()
    received.properties = {name: ["x"]}

    assert envelopes.error_in(received) is not None


def test_a_message_that_celery_cannot_read_does_not_end_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    consumer, received = Consumer(TypeError("card 4111")), message()

    consumer.receive(received)

    assert received.acknowledged
    (record,) = caplog.records
    assert "Celery cannot read the message: TypeError in take, " in record.getMessage()
    assert "4111" not in record.getMessage()


@pytest.mark.parametrize("error", [OSError(), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_errors_that_are_not_the_messages_fault_are_raised(error: Any) -> None:
    consumer = Consumer(error)

    with pytest.raises(type(error)):
        consumer.receive(message())


def test_an_error_after_the_acknowledgement_is_raised() -> None:
    consumer, received = Consumer(TypeError()), message()
    received.ack()

    with pytest.raises(TypeError):
        consumer.receive(received)


def test_a_body_that_cannot_be_decompressed_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    bound_decompression(app)
    consumer, received = Consumer(), message("noise", compression="zlib")
    assert received.errors

    with caplog.at_level(logging.ERROR):
        received._reraise_error(consumer.on_decode_error)
        consumer.on_decode_error(message(), ValueError())

    assert received.acknowledged
    assert "The message cannot be decompressed: error." in caplog.text
    assert [type(error) for error in consumer.undecoded] == [ValueError]
