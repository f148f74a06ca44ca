"""``cereal-pickle``: any Python value, with references in the place of instances.

A body is a version byte, a signature over the rest, and the rest. Not a byte of
it is unpickled before the signature has been verified.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..arguments import LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import (
    CerealError,
    InvalidMessage,
    SignatureMismatch,
    UnknownVersion,
    UnsupportedValue,
)
from ..references import reference_of
from .body import BodyFormat, as_bytes
from .signing import SIZE, sign, verify

if TYPE_CHECKING:
    from .tables import Table

_VERSION: Final = b"\x01"
_PROTOCOL: Final = 5


def row(place: int) -> Any:
    """Stand for the row at ``place`` in a pickle; the unpickler puts the row there."""
    raise pickle.UnpicklingError("a cereal-pickle blob was unpickled by another unpickler")


#: What is in a pickle with a row in it.
_NAMES_ROWS: Final = __name__.encode()


class PickleFormat(BodyFormat):
    """The format of ``cereal-pickle``."""

    name = "cereal-pickle"
    sealed = 1 + SIZE
    is_signed = True

    def encode(self, value: Any, table: Table) -> bytes:
        """Return the pickle of ``value``, its references entered in ``table``."""
        stream = io.BytesIO()
        pickler = _Pickler(stream, _PROTOCOL)
        pickler.table = table
        try:
            pickler.dump(value)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            if isinstance(error, CerealError):
                raise
            raise UnsupportedValue(
                f"cereal-pickle cannot carry this value: {error}. Pass what it is made from."
            ) from error
        return stream.getvalue()

    def decode(self, blob: bytes, rows: Sequence[Any], mark: str) -> Any:
        """Return the pickled value, with ``rows[i]`` in the place of reference ``i``."""
        if _NAMES_ROWS not in blob:  # as most do not: half of the time
            return pickle.loads(blob)  # noqa: S301  (its signature was verified)
        unpickler = _Unpickler(io.BytesIO(blob))
        unpickler.rows = rows
        return unpickler.load()

    def peek(self, blob: bytes, rows: Sequence[Any], mark: str) -> Any:
        """Return the pickled value with blanks for objects whose class would be imported."""
        peeker = _Peeker(io.BytesIO(blob))
        peeker.rows = rows
        return peeker.load()

    def seal(self, header: str, blobs: Sequence[bytes]) -> bytes:
        """Return the signed body."""
        content = b"".join((header.encode(), b"\n", *blobs))
        return b"".join((_VERSION, sign(_VERSION, content), content))

    def open(self, data: Any) -> bytes:
        """Return what was signed.

        Raises ``UnknownVersion`` or ``SignatureMismatch`` if it is not to be read.
        """
        body = as_bytes(data)
        version, content = body[:1], body[1 + SIZE :]
        if version != _VERSION:
            if not version or version[0] > 31 or version in b"\t\n\r":
                raise InvalidMessage("The message is not a cereal-pickle body.")
            raise UnknownVersion(
                f"The message has version {version[0]} of cereal-pickle and this process knows "
                "version 1. Deploy workers before what sends to them.",
                version[0],
            )
        if not verify(body[1 : 1 + SIZE], _VERSION, content):
            raise SignatureMismatch(
                "The signature of a cereal-pickle message does not match, so nothing of it was "
                "read. It was changed on its way, sent by someone without the key, or signed "
                "with a key that is neither SECRET_KEY (or CEREAL_METHODS['SIGNING_KEY']) nor "
                "among its fallbacks here. Compare the keys, and who can write to the broker."
            )
        return content


class _Pickler(pickle.Pickler):
    # reducer_override is asked about objects that are not of a basic type only,
    # and it is this pickler's alone: no other pickle in the process changes.
    table: Table

    def reducer_override(self, obj: Any) -> Any:
        if obj is row:
            return NotImplemented
        reference = reference_of(obj)
        if reference is not None:
            return row, (self.table.add(reference),)
        if isinstance(obj, (LazyArgs, LazyKwargs, LazyEmbed)):
            plain = obj.plainly(references=self.table.is_call)
            return type(plain), (plain,)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    rows: Sequence[Any]

    def find_class(self, module: str, name: str) -> Any:
        if name == "row" and module == __name__:
            return self.rows.__getitem__
        return super().find_class(module, name)


# Values that say more than their class name and that nothing of the user's makes.
_PLAIN_MODULES: Final = frozenset({"datetime", "decimal", "uuid", "collections"})
_PLAIN_BUILTINS: Final = frozenset({"set", "frozenset", "bytearray", "complex", "list", "dict"})


class _Peeker(_Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (
            module == __name__
            or module in _PLAIN_MODULES
            or (module == "builtins" and name in _PLAIN_BUILTINS)
        ):
            return super().find_class(module, name)
        return type(name, (_Blank,), {"shown": f"<{module}.{name}>"})


class _Blank:
    """Stands for an object whose class is not imported; takes whatever a pickle does to it."""

    shown = "<object>"

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def _take(self, *args: Any) -> None:
        pass

    __setstate__: Callable[..., None] = _take
    __setitem__: Callable[..., None] = _take
    append: Callable[..., None] = _take
    extend: Callable[..., None] = _take
    add: Callable[..., None] = _take

    def __repr__(self) -> str:
        return self.shown


FORMAT: Final = PickleFormat()
