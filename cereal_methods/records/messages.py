"""A task's message as Celery would publish it, kept instead, and published later."""

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

#: What of a call of ``Producer.publish`` is about the moment, and is not kept.
_OF_THE_MOMENT: Final = ("retry", "retry_policy", "timeout", "confirm_timeout", "expiration")

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
        found: str = self.headers["id"]
        return found

    @property
    def turn(self) -> int:
        """Which turn of its record it is for."""
        _, turn = self.headers[RECORD]
        return int(turn)

    def envelope(self) -> str:
        """Return all but the body, as a record holds it.

        Raises ``TypeError`` for a header that JSON does not know.
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
        """Publish it; its queues have been declared."""
        producer.publish(
            self.body,
            content_type=self.content_type,
            content_encoding=self.content_encoding,
            headers=dict(self.headers),
            exchange=self.exchange,
            routing_key=self.routing_key,
            **self.properties,
        )


class Keeper:
    """What stands in the place of a kombu producer: it keeps the message."""

    def __init__(self) -> None:
        self.message: Message | None = None
        #: Celery asks the producer's connection to name errors of the broker's; there are none.
        self.connection = self

    @contextmanager
    def _reraise_as_library_errors(self) -> Iterator[None]:
        yield

    def publish(self, body: Any, **options: Any) -> None:
        """Encode and keep what is published first, the task's message; not events about it."""
        if self.message is not None:
            return
        for name in _OF_THE_MOMENT:
            options.pop(name, None)
        headers, exchange = options.pop("headers"), options.pop("exchange")
        payload: Any
        kind, encoding, payload = dumps(body, serializer=options.pop("serializer"))
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


def kept_message(publish: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, Message]:
    """Call what publishes a task; return its result and the message, which nobody has sent."""
    keeper = Keeper()
    result = publish(*args, producer=keeper, **options)
    if keeper.message is None:
        raise TypeError("The task class's apply_async has sent no message by its producer.")
    return result, keeper.message
