"""``cereal-msgpack``: what kombu's ``msgpack`` carries, and references as extension types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from kombu.exceptions import SerializerNotInstalled

from ..exceptions import CerealError, InvalidMessage, UnsupportedValue
from ..rows.container import with_plain_containers
from .body import BodyFormat, as_bytes, row_at

if TYPE_CHECKING:
    from .tables import Table

try:
    import msgpack
except ImportError as error:
    raise SerializerNotInstalled(
        "cereal-msgpack needs msgpack: pip install 'django-cereal-methods[msgpack]'"
    ) from error

#: The extension type of a reference, and what precedes the reference's position in its data. The
#: user may have an extension type with the same code.
_REFERENCE: Final = 0x43
_MARK: Final = b"$ref"

#: The bytes with which lists and dicts do not begin.
_OTHERS: Final = bytes(
    byte for byte in range(256) if not (0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF)
)


#: A byte that every timestamp contains.
_TIMESTAMP: Final = b"\xff"
#: The most timestamps among the keys of a dict. Python does not randomize their hashes, and a dict
#: of n keys with the same hash takes n * n comparisons.
_MAX_TIMESTAMP_KEYS: Final = 64


def _unpack(blob: Any, **hooks: Any) -> Any:
    if _TIMESTAMP in as_bytes(blob):  # most bodies have none, and take less time without the hook
        hooks["object_pairs_hook"] = _as_dict
    return msgpack.unpackb(blob, raw=False, strict_map_key=False, **hooks)


def _as_dict(pairs: Any) -> dict[Any, Any]:
    pairs = list(pairs)
    if (
        len(pairs) > _MAX_TIMESTAMP_KEYS
        and sum(type(key) is msgpack.Timestamp for key, _ in pairs) > _MAX_TIMESTAMP_KEYS
    ):
        raise InvalidMessage("The message has a dict with too many timestamps among its keys.")
    return dict(pairs)


class MsgpackFormat(BodyFormat):
    """The format of ``cereal-msgpack``."""

    name = "cereal-msgpack"

    def encode(self, value: Any, table: Table) -> bytes:
        """Return the MessagePack of ``value``, and add its references to ``table``."""

        def default(obj: Any) -> Any:
            place = table.place_of(obj)
            if place is not None:
                return msgpack.ExtType(_REFERENCE, _MARK + str(place).encode())
            raise UnsupportedValue(
                f"cereal-msgpack cannot carry a value of type {type(obj).__qualname__}. Convert "
                "it, or send the task with serializer='cereal-pickle'.",
                type(obj),
            )

        # msgpack reads lists and dicts without calling their methods, so containers would be empty.
        value = with_plain_containers(value, references=table.is_call)
        try:
            packed: bytes = msgpack.packb(value, default=default, use_bin_type=True)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, CerealError):
                raise
            reason = str(error).rstrip(".")
            raise UnsupportedValue(
                f"cereal-msgpack cannot carry this value: {reason}. Convert it, or send the task "
                "with serializer='cereal-pickle'."
            ) from error
        return packed

    def decode(self, blob: bytes, rows: Sequence[Any], mark: str) -> Any:
        """Return the packed value, with ``rows[i]`` in place of reference ``i``."""

        def ext_hook(code: int, data: bytes) -> Any:
            if code == _REFERENCE and data.startswith(_MARK):
                return row_at(rows, int(data.removeprefix(_MARK)))
            return msgpack.ExtType(code, data)

        return _unpack(blob, ext_hook=ext_hook)

    def decode_plain(self, body: bytes) -> Any:
        """Return the value of a body that kombu's ``msgpack`` may have written."""
        return _unpack(body)

    def max_depth(self, body: Any) -> int:
        """Return the number of bytes that may begin a list or a dict."""
        return len(as_bytes(body).translate(None, _OTHERS))

    def looks_like_call(self, body: Any) -> bool:
        """Whether an unreadable body was probably that of a call."""
        data = as_bytes(body)
        return data[:1] == b"\x93" and b"\xa9callbacks" in data

    def seal(self, header: str, blobs: Sequence[bytes]) -> bytes:
        """Return the body of a header line and blobs."""
        return b"".join((header.encode(), b"\n", *blobs))

    def open(self, data: Any) -> bytes:
        """Return the header line and the blobs in one piece."""
        return as_bytes(data)


FORMAT: Final = MsgpackFormat()
