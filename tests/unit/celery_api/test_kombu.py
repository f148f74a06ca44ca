"""What ``celery_api.kombu`` relies on, asked of the kombu that is installed."""

from __future__ import annotations

import datetime
import decimal
import json
import os
import sys
import uuid
from types import SimpleNamespace
from typing import Any

import kombu.compression
import pytest
from celery import Celery
from kombu import Connection, Exchange, Message, Producer, Queue
from kombu.exceptions import ContentDisallowed, SerializerNotInstalled
from kombu.serialization import dumps, loads, register, unregister

from cereal_methods.celery_api import kombu as api
from tests.unit.contracts import untested

from .test_tasks import made


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__]) == []


# Serializers.


@pytest.fixture
def own_serializer() -> Any:
    """Register a serializer for a test."""
    register("own", lambda value: b"x", lambda data: 5, "application/x-own", "binary")
    yield "own"
    unregister("own")


def test_serializer_names_has_what_is_registered(own_serializer: str) -> None:
    assert {"json", "pickle", "cereal-json", "own"} <= set(api.serializer_names())
    unregister("own")
    assert "own" not in api.serializer_names()
    register("own", lambda value: b"x", lambda data: 5, "application/x-own", "binary")


def test_content_type_of_is_what_dumps_says(own_serializer: str) -> None:
    assert api.content_type_of("own") == dumps(5, "own")[0] == "application/x-own"
    assert api.content_type_of("application/x-own") == "application/x-own"
    assert api.content_type_of("unknown") == "unknown"


def test_serializer_of_is_its_opposite(own_serializer: str) -> None:
    assert api.serializer_of("application/x-own") == "own"
    assert api.serializer_of("application/json") == "json"
    assert api.serializer_of("unknown") == "unknown"


def test_encoding_of_is_what_dumps_says(own_serializer: str) -> None:
    assert api.encoding_of("own") == dumps(5, "own")[1] == "binary"
    assert api.encoding_of("json") == "utf-8"


def test_accepted_types_are_those_that_loads_accepts(own_serializer: str) -> None:
    accepted = api.accepted_types(["own", "application/json"])

    assert set(accepted) == {"application/x-own", "application/json"}
    assert not api.accepted_types([])
    assert loads(b"x", "application/x-own", "binary", accept=accepted) == 5
    with pytest.raises(ContentDisallowed):
        loads(b"x", "application/x-own", "binary", accept=api.accepted_types(["json"]))
    with pytest.raises(SerializerNotInstalled):
        api.accepted_types(["unknown"])


VALUES = [
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    datetime.date(2026, 1, 2),
    decimal.Decimal("9.99"),
    uuid.UUID(int=5),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_jsonencoder_and_object_hook_are_those_of_kombu_s_json(value: Any) -> None:
    _, _, body = dumps([value], "json")

    assert api.JSONEncoder().encode([value]) == body
    assert json.loads(body, object_hook=api.object_hook) == [value]


def test_jsonencoder_asks_an_object_for_its_json() -> None:
    class Own:
        def __json__(self) -> Any:
            return {"own": 1}

    assert api.JSONEncoder().encode([Own()]) == '[{"own": 1}]'
    with pytest.raises(TypeError):
        api.JSONEncoder().default(object())


def test_object_hook_leaves_other_dicts_alone() -> None:
    assert api.object_hook({"a": 1}) == {"a": 1}


# Messages.


def test_decoded_before_is_none_before_decoding() -> None:
    message = Message(body="[1]", content_type="application/json", content_encoding="utf-8")

    assert api.decoded_before(message) is None
    assert message.payload == [1]
    assert api.decoded_before(message) == [1]


class Captured(api.CapturingProducer):
    """Keeps messages."""

    def __init__(self, producer: Any) -> None:
        super().__init__(producer)
        self.messages: list[Any] = []

    def capture(self, message: Message, queue: str) -> None:
        self.messages.append((message, queue))


def sent_and_captured(publish: Any) -> tuple[Any, Any, str]:
    """Return the same message from a broker in memory and as it is captured."""
    queue = Queue("captured", Exchange("captured"), routing_key="captured")
    with Connection("memory://") as connection:
        bound = queue(connection.default_channel)
        bound.declare()
        bound.purge()
        producer = Producer(connection)
        publish(producer, queue)
        (sent,) = iter(lambda: bound.get(no_ack=True, accept=["json", "text/plain"]), None)
        capturing = Captured(producer)
        publish(capturing, queue)
        ((captured, name),) = capturing.messages
        return sent, captured, name


def test_capturingproducer_captures_the_message_for_a_broker() -> None:
    def publish(producer: Any, queue: Queue) -> None:
        producer.publish(
            {"a": [1]},
            serializer="json",
            compression="zlib",
            headers={"h": 1},
            exchange=queue.exchange,
            routing_key="captured",
            declare=[queue],
            retry=True,
            retry_policy={"max_retries": 1},
            priority=3,
            correlation_id="an-id",
        )

    sent, captured, name = sent_and_captured(publish)

    assert name == "captured"
    assert captured.headers == sent.headers
    assert captured.content_type == sent.content_type
    assert captured.content_encoding == sent.content_encoding
    assert captured.payload == sent.payload == {"a": [1]}
    for key in ("correlation_id", "priority", "delivery_mode"):
        assert captured.properties[key] == sent.properties[key]
    for key in ("exchange", "routing_key"):
        assert captured.delivery_info[key] == sent.delivery_info[key]


def test_capturingproducer_encodes_text_as_a_transport_does() -> None:
    def publish(producer: Any, queue: Queue) -> None:
        producer.publish("é", exchange=queue.exchange, routing_key="captured", declare=[queue])

    sent, captured, _ = sent_and_captured(publish)

    assert captured.body == "é".encode()
    assert captured.payload == sent.payload == "é"


def test_capturingproducer_has_its_producer_s_connection_and_needs_none() -> None:
    connection = Connection("amqp://nowhere.invalid:1")
    capturing = Captured(SimpleNamespace(connection=connection))
    capturing.publish({}, serializer="json", routing_key="to here")

    assert capturing.connection is connection
    assert not connection.connected
    assert [name for _, name in capturing.messages] == ["to here"]


def test_celery_can_send_with_capturingproducer(app: Celery) -> None:
    task = made(app, "one")
    with app.producer_or_acquire() as producer:
        capturing = Captured(producer)
        task.apply_async([5], producer=capturing)

    ((message, queue),) = capturing.messages
    assert (message.headers["task"], message.payload[0], queue) == ("one", [5], "contract")


# Compression.


def packages() -> list[Any]:
    """Return the packages for zstd that are installed."""
    installed = []
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            installed.append(__import__(name, fromlist=["ZstdDecompressor"]))
        except ImportError:
            continue
    return installed


def test_zstd_decompressor_is_none_without_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(kombu.compression, "zstd", raising=False)

    assert api.zstd_decompressor() is None


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.__name__)
def test_zstd_decompressor_stops_at_a_bound(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kombu.compression, "zstd", package, raising=False)
    new: Any = api.zstd_decompressor()
    compress = getattr(package, "compress", None) or package.ZstdCompressor().compress
    for plain in (b"", b"abc" * 1000, os.urandom(10_000)):
        whole = new()
        assert whole.decompress(compress(plain), len(plain) + 1) == plain
        assert whole.eof

    bomb = new()
    assert len(bomb.decompress(compress(bytes(50_000_000)), 1000)) == 1000
    truncated = new()
    truncated.decompress(compress(b"abc" * 1000)[:-5], 10_000)
    assert not truncated.eof
    with pytest.raises(Exception):  # noqa: B017, PT011  (each has its own)
        new().decompress(b"noise" * 10, 100)
