"""``cereal-pickle``: any Python value, with references in place of instances.

A body is a version byte, a signature, and the content, which the signature covers together with
the version. Nothing is unpickled before the signature has been verified.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import (
    CerealError,
    InvalidMessage,
    UnknownVersion,
    UnsupportedValue,
)
from ..rows.container import ArgumentContainer
from ..rows.reference import reference_of
from .body import BodyFormat, as_bytes
from .signing import SIZE, sign, signature_mismatch, verify

if TYPE_CHECKING:
    from .tables import Table

_VERSION: Final = b"\x01"
_PROTOCOL: Final = 5


def row(place: int) -> Any:
    """Mark the position of a row in a pickle, where ``_Unpickler`` puts the row."""
    raise pickle.UnpicklingError("a cereal-pickle blob was unpickled by another unpickler")


#: What every pickle with a row contains: the module of ``row``.
_ROW_MODULE: Final = __name__.encode()


class PickleFormat(BodyFormat):
    """The format of ``cereal-pickle``."""

    name = "cereal-pickle"
    header_offset = 1 + SIZE
    is_signed = True

    def encode(self, value: Any, table: Table) -> bytes:
        """Return the pickle of ``value``, and add its references to ``table``."""
        stream = io.BytesIO()
        pickler = _Pickler(stream, _PROTOCOL)
        pickler.table = table
        try:
            pickler.dump(value)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            if isinstance(error, CerealError):
                raise
            raise UnsupportedValue(
                f"cereal-pickle cannot carry this value: {error}. Pass the data that it is made "
                "from."
            ) from error
        return stream.getvalue()

    def decode(self, blob: bytes, rows: Sequence[Any], mark: str) -> Any:
        """Return the pickled value, with ``rows[i]`` in place of reference ``i``."""
        if _ROW_MODULE not in blob:  # most do not contain it, and pickle.loads takes half the time
            return pickle.loads(blob)  # noqa: S301  (its signature was verified)
        unpickler = _Unpickler(io.BytesIO(blob))
        unpickler.rows = rows
        return unpickler.load()

    def safe_view(self, blob: bytes, rows: Sequence[Any], mark: str) -> Any:
        """Return the pickled value, with placeholders for objects of the user's classes."""
        unpickler = _SafeUnpickler(io.BytesIO(blob))
        unpickler.rows = rows
        return unpickler.load()

    def seal(self, header: str, blobs: Sequence[bytes]) -> bytes:
        """Return the signed body of a header line and blobs."""
        content = b"".join((header.encode(), b"\n", *blobs))
        return b"".join((_VERSION, sign(_VERSION, content), content))

    def open(self, data: Any) -> bytes:
        """Return the header line and the blobs in one piece, after verifying the signature.

        Raises ``UnknownVersion`` if a newer release wrote the body, ``SignatureMismatch`` if the
        signature is wrong, otherwise ``InvalidMessage`` if it is not a ``cereal-pickle`` body.
        """
        body = as_bytes(data)
        version, content = body[:1], body[1 + SIZE :]
        if version != _VERSION:
            if not version or version[0] > 31 or version in b"\t\n\r":
                raise InvalidMessage("The message is not a cereal-pickle body.")
            raise UnknownVersion(
                f"The message has version {version[0]} of cereal-pickle, and this process reads "
                "version 1. Deploy the workers before the senders.",
                version[0],
            )
        if not verify(body[1 : 1 + SIZE], _VERSION, content):
            raise signature_mismatch(self.name)
        return content


class _Pickler(pickle.Pickler):
    # pickle does not call reducer_override for basic types, and no other pickler in the process
    # has this one.
    table: Table

    def reducer_override(self, obj: Any) -> Any:
        if obj is row:
            return NotImplemented
        reference = reference_of(obj)
        if reference is not None:
            return row, (self.table.add(reference),)
        if isinstance(obj, ArgumentContainer):
            plain = obj.with_references() if self.table.is_call else obj.for_json()
            return type(plain), (plain,)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    rows: Sequence[Any]

    def find_class(self, module: str, name: str) -> Any:
        if name == "row" and module == __name__:
            return self.rows.__getitem__
        return super().find_class(module, name)


# The classes of values that logs and monitors may show, and that run no code of the user's.
_PLAIN_MODULES: Final = frozenset({"datetime", "decimal", "uuid", "collections"})
_PLAIN_BUILTINS: Final = frozenset({"set", "frozenset", "bytearray", "complex", "list", "dict"})


class _SafeUnpickler(_Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (
            module == __name__
            or module in _PLAIN_MODULES
            or (module == "builtins" and name in _PLAIN_BUILTINS)
        ):
            return super().find_class(module, name)
        return type(name, (_Placeholder,), {"text": f"<{module}.{name}>"})


class _Placeholder:
    """In place of an object whose class is not imported. It ignores what a pickle does to it."""

    text = "<object>"

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any) -> Any:
        return self  # a function, or a method of a class that is not imported

    def _ignore(self, *args: Any) -> None:
        pass

    __setstate__: Callable[..., None] = _ignore
    __setitem__: Callable[..., None] = _ignore
    append: Callable[..., None] = _ignore
    extend: Callable[..., None] = _ignore
    add: Callable[..., None] = _ignore

    def __repr__(self) -> str:
        return self.text


FORMAT: Final = PickleFormat()
