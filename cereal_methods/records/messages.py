"""A task's message as Celery would publish it, stored and published later."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from kombu import Queue
from kombu.compression import compress
from kombu.serialization import dumps
from kombu.utils.json import dumps as dump_json
from kombu.utils.json import loads as load_json

from ..results.messages import RECORD

#: The options of ``Producer.publish`` that concern one attempt to publish, and are not stored.
_TRANSIENT_OPTIONS: Final = ("retry", "retry_policy", "timeout", "confirm_timeout", "expiration")

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(slots=True)
class Message:
    """A message whose body is encoded, and where it goes."""

    body: bytes
    content_type: str
    content_encoding: str
    headers: dict[str, Any]
    exchange: str
    routing_key: str
    #: The queues that are declared before it is published.
    queues: list[str] = field(default_factory=list)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The task's id."""
        task_id: str = self.headers["id"]
        return task_id

    @property
    def turn(self) -> int:
        """The turn of the record that it belongs to."""
        _, turn = self.headers[RECORD]
        return int(turn)

    def envelope(self) -> str:
        """Return the text of everything but the body, for the record.

        Raises ``TypeError`` for a header that JSON cannot carry.
        """
        parts = [
            self.content_type,
            self.content_encoding,
            self.headers,
            self.exchange,
            self.routing_key,
            self.queues,
            self.properties,
        ]
        try:
            return _encode(parts)
        except TypeError:
            return str(dump_json(parts))

    @classmethod
    def all_of(cls, stored: Sequence[tuple[str, Any]]) -> list[Message]:
        """Return the messages of records, given as envelopes and bodies.

        Raises ``ValueError`` or ``TypeError`` if an envelope cannot be decoded.
        """
        # Decoding many at once is faster, because JSON then keeps one copy of each key.
        envelopes = f"[{','.join(envelope for envelope, _ in stored)}]"
        loads: Any = load_json if '"__type__"' in envelopes else json.loads
        return [
            cls(bytes(body), *parts)
            for (_, body), parts in zip(stored, loads(envelopes), strict=True)
        ]

    def publish(self, producer: Any) -> None:
        """Publish the message. Its queues must have been declared."""
        producer.publish(
            self.body,
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            headers=dict(self.headers),
            exchange=self.exchange,
            routing_key=self.routing_key,
            **self.properties,
        )


class MessageCapture:
    """A producer for Celery that captures the message instead of publishing it."""

    def __init__(self) -> None:
        self.message: Message | None = None
        #: What the message's body was encoded from, and by which serializer.
        self.call: Any = None
        self.serializer = ""
        #: Celery asks the producer's connection which errors are the broker's. There are none.
        self.connection = self

    @contextmanager
    def _reraise_as_library_errors(self) -> Iterator[None]:
        yield

    def publish(self, body: Any, **options: Any) -> None:
        """Encode and capture the first message, which is the task's. Events about it follow."""
        if self.message is not None:
            return
        for name in _TRANSIENT_OPTIONS:
            options.pop(name, None)
        headers, exchange = options.pop("headers"), options.pop("exchange")
        payload: Any
        self.call, self.serializer = body, options.pop("serializer")
        kind, encoding, payload = dumps(body, serializer=self.serializer)
        if isinstance(payload, str):
            payload = payload.encode(encoding)
        compression = options.pop("compression", None)
        if compression:
            payload, headers["compression"] = compress(payload, compression)
        declared = options.pop("declare", None) or ()
        self.message = Message(
            bytes(payload),
            kind,
            encoding,
            headers,
            exchange if isinstance(exchange, str) else exchange.name,
            options.pop("routing_key") or "",
            [entity.name for entity in declared if isinstance(entity, Queue)],
            options,
        )


def capture_message(
    publish: Callable[..., Any], *args: Any, **options: Any
) -> tuple[Any, MessageCapture, Message]:
    """Capture the message of ``apply_async``; return its result, the capture and the message.

    Raises ``TypeError`` if ``apply_async`` has not used the producer that it was given.
    """
    capture = MessageCapture()
    result = publish(*args, producer=capture, **options)
    if capture.message is None:
        raise TypeError(
            "The apply_async of the task's class has not used the producer that it was given."
        )
    return result, capture, capture.message
