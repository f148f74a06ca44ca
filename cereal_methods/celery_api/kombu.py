"""kombu's serializers, messages and compression; see the package."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import kombu.compression
from kombu import Message, Producer
from kombu.serialization import (  # type: ignore[attr-defined]
    prepare_accept_content,
    registry,
)

# What kombu's own json carries is what cereal-json carries.
from kombu.utils.json import JSONEncoder as JSONEncoder
from kombu.utils.json import object_hook as object_hook

# Serializers. kombu documents how to register and use them, and not how to look them up.


def serializer_names() -> Collection[str]:
    """Return the names of all serializers that are registered."""
    names: dict[str, str] = registry.name_to_type
    return names.keys()


def content_type_of(name: str) -> str:
    """Return the content type of a serializer, or the name itself where there is no such one."""
    # A serializer may be named by its content type too.
    found: str = registry.name_to_type.get(name, name)
    return found


def serializer_of(content_type: str) -> str:
    """Return the name of a content type's serializer, or the type itself if there is none."""
    found: str = registry.type_to_name.get(content_type, content_type)
    return found


def encoding_of(name: str) -> str:
    """Return the content encoding of a registered serializer."""
    # dumps() returns it with what it has encoded.
    _, encoding, _ = registry._encoders[name]
    return str(encoding)


def accepted_types(names: Collection[str]) -> Collection[str]:
    """Return the content types that a list of names and types, such as accept_content, allows.

    Raises ``SerializerNotInstalled`` for a name that is not registered.
    """
    return prepare_accept_content(names) or ()


# Messages.


def decoded_before(message: Message) -> Any:
    """Return the body of a message if it was decoded, or None."""
    # message.payload decodes it, which is what could not be done.
    return message._decoded_cache  # type: ignore[attr-defined]


# Typed for what it takes in general; Celery hands it a part of that.
_Producer: Any = Producer


class CapturingProducer(_Producer):  # type: ignore[misc]
    """Encodes messages as a producer does, and hands them to ``capture`` instead of a broker."""

    # kombu encodes and sends in one call. Else: a transport in memory, with its own connections.

    def __init__(self, producer: Any) -> None:
        self._replaced = producer
        super().__init__(None)

    @property
    def connection(self) -> Any:
        """The connection of the producer that it stands for, which need not be open."""
        # Celery asks it which errors are worth another try.
        return self._replaced.connection

    def capture(self, message: Message, queue: str) -> None:
        """Take a message, and the name of the queue that it would be delivered to."""
        raise NotImplementedError

    def publish(self, body: Any, *, retry: bool = False, **options: Any) -> Any:
        """Encode a message and hand it over; there is nothing to be tried again."""
        return super().publish(body, retry=False, **options)

    def _publish(
        self,
        body: Any,
        priority: int,
        content_type: str,
        content_encoding: str,
        headers: dict[str, Any],
        properties: dict[str, Any],
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        exchange: str,
        declare: Any,
        *rest: Any,
    ) -> None:
        encoded: Any = body.encode(content_encoding) if isinstance(body, str) else body
        message = Message(
            body=encoded,
            content_type=content_type,
            content_encoding=content_encoding,
            headers=headers,
            properties={**properties, "priority": priority},
            delivery_info={"exchange": exchange, "routing_key": routing_key},
        )
        queue = next((each.name for each in declare if hasattr(each, "routing_key")), routing_key)
        self.capture(message, queue)


# Compression.


def zstd_decompressor() -> Callable[[], Any] | None:
    """Return what makes an incremental decompressor by kombu's package for zstd, if it has one.

    It has ``decompress(data, max_length)`` and ``eof``, as those of the standard library.
    """
    # kombu reads nothing in parts. It knows its package under one name, whichever it is: Python's
    # own or its backport, and before kombu 5.6 zstandard, which is another.
    package = getattr(kombu.compression, "zstd", None)
    if package is None:
        return None
    kind: Callable[[], Any] = package.ZstdDecompressor
    return (lambda: _OfZstandard(kind())) if hasattr(kind, "decompressobj") else kind


class _OfZstandard:
    """A decompressor of the package ``zstandard`` that stops at a bound."""

    #: Bytes that are taken in at a time; no more than some megabytes come out of them.
    _PART = 64

    def __init__(self, decompressor: Any) -> None:
        self._decompressor = decompressor.decompressobj()
        self.eof = False

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return what the data is decompressed to, or its beginning if that is longer."""
        found = bytearray()
        for start in range(0, len(data), self._PART):
            found += self._decompressor.decompress(data[start : start + self._PART])
            self.eof = self._decompressor.eof
            if self.eof or len(found) >= max_length:
                break
        return bytes(found[:max_length])
