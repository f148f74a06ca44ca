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

# cereal-json carries what kombu's own json carries.
from kombu.utils.json import JSONEncoder as JSONEncoder
from kombu.utils.json import object_hook as object_hook

# Serializers. kombu documents how to register and use them, and not how to look them up.


def serializer_names() -> Collection[str]:
    """Return the names of all serializers that are registered."""
    names: dict[str, str] = registry.name_to_type
    return names.keys()


def content_type_of(name: str) -> str:
    """Return the content type of a serializer, or the name itself if it is not registered."""
    # A serializer may be named by its content type too.
    content_type: str = registry.name_to_type.get(name, name)
    return content_type


def serializer_of(content_type: str) -> str:
    """Return the name of a content type's serializer, or the type itself if there is none."""
    name: str = registry.type_to_name.get(content_type, content_type)
    return name


def encoding_of(name: str) -> str:
    """Return the content encoding of a registered serializer."""
    # dumps() returns it, but encodes a value.
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
    # message.payload would decode it, which has failed.
    return message._decoded_cache  # type: ignore[attr-defined]


# kombu's annotations are wider than what Celery passes.
_Producer: Any = Producer


class CapturingProducer(_Producer):  # type: ignore[misc]
    """Encodes messages as a producer does, and hands them to ``capture`` instead of a broker."""

    # kombu encodes and sends in one call. Else: a transport in memory, with its own connections.

    def __init__(self, producer: Any) -> None:
        self._replaced = producer
        super().__init__(None)

    @property
    def connection(self) -> Any:
        """The connection of the producer that this one replaces. It need not be open."""
        # Celery asks it which errors to retry.
        return self._replaced.connection

    def capture(self, message: Message, queue: str) -> None:
        """Receive a message, and the name of the queue that it would be delivered to."""
        raise NotImplementedError

    def publish(self, body: Any, *, retry: bool = False, **options: Any) -> Any:
        """Encode a message and capture it, without retries."""
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
        queue = next(
            (entity.name for entity in declare if hasattr(entity, "routing_key")), routing_key
        )
        self.capture(message, queue)


# Compression.


def zstd_decompressor() -> Callable[[], Any] | None:
    """Return a function that makes an incremental zstd decompressor, or None without zstd.

    It has ``decompress(data, max_length)`` and ``eof``, as those of the standard library.
    """
    # kombu does not decompress in parts. It uses one name for its package, which is Python's own
    # or its backport, and before kombu 5.6 zstandard, which has another interface.
    package = getattr(kombu.compression, "zstd", None)
    if package is None:
        return None
    kind: Callable[[], Any] = package.ZstdDecompressor
    return (lambda: _OfZstandard(kind())) if hasattr(kind, "decompressobj") else kind


class _OfZstandard:
    """A decompressor of the package ``zstandard`` that stops at a bound."""

    #: How many bytes are read at a time. They become no more than some megabytes.
    _PART = 64

    def __init__(self, decompressor: Any) -> None:
        self._decompressor = decompressor.decompressobj()
        self.eof = False

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return the decompressed data, cut to ``max_length`` bytes."""
        result = bytearray()
        for start in range(0, len(data), self._PART):
            result += self._decompressor.decompress(data[start : start + self._PART])
            self.eof = self._decompressor.eof
            if self.eof or len(result) >= max_length:
                break
        return bytes(result[:max_length])
