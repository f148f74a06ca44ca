"""``cereal-msgpack``: what kombu's ``msgpack`` carries, and references as extension types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kombu.exceptions import SerializerNotInstalled

from ..arguments import LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import CerealError, UnsupportedValue
from ..references import reference_of
from .body import BodyFormat, Table, as_bytes, row_at

try:
    import msgpack
except ImportError as error:
    raise SerializerNotInstalled(
        "cereal-msgpack needs msgpack: pip install 'django-cereal-methods[msgpack]'"
    ) from error

#: The extension type of a reference, and what stands before the reference's place in
#: its data: the type may be one of the user's as well.
_REFERENCE: Final = 0x43
_MARK: Final = b"$ref"


class MsgpackFormat(BodyFormat):
    """The format of ``cereal-msgpack``."""

    name = "cereal-msgpack"

    def encode(self, value: Any, table: Table) -> bytes:
        """Return the MessagePack of ``value``, its references entered in ``table``."""

        def default(obj: Any) -> Any:
            reference = reference_of(obj)
            if reference is not None:
                return msgpack.ExtType(_REFERENCE, _MARK + str(table.add(reference)).encode())
            if isinstance(obj, (LazyArgs, LazyKwargs, LazyEmbed)):
                return obj.plainly(references=table.is_call)
            raise UnsupportedValue(
                f"cereal-msgpack cannot carry a value of type {type(obj).__qualname__}. Convert "
                "it, or send the task with serializer='cereal-pickle'.",
                type(obj),
            )

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
        """Return the packed value, with ``rows[i]`` in the place of reference ``i``."""

        def ext_hook(code: int, data: bytes) -> Any:
            if code == _REFERENCE and data.startswith(_MARK):
                return row_at(rows, int(data.removeprefix(_MARK)))
            return msgpack.ExtType(code, data)

        return msgpack.unpackb(blob, ext_hook=ext_hook, raw=False, strict_map_key=False)

    def seal(self, header: str, blobs: Sequence[bytes]) -> bytes:
        """Return the body."""
        return b"".join((header.encode(), b"\n", *blobs))

    def open(self, data: Any) -> bytes:
        """Return the body as one piece."""
        return as_bytes(data)


FORMAT: Final = MsgpackFormat()
