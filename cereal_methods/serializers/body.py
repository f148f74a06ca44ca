"""Message bodies: their layout, and what differs from format to format.

A body without references is byte for byte what kombu's own serializer of the format writes, and
any such body is read. So other languages, monitors, and results that were stored before the
serializer was changed work without this library. Signed bodies always have a header line.

A body with references is a header line of JSON, followed by the encoded arguments and the
encoded embed, or by the encoded result::

    {"cereal":1,"refs":[["shop.Order",5,"default"]],"call":13,"this":0}
    [["dhl"],{}]

``cereal``  the version of this layout.
``refs``    the table of references, each once. The arguments refer to them by position.
``call``    the length of the encoded arguments: bytes, or characters if the body is text.
``embed``   the length of the encoded embed, which follows unless nothing is embedded.
``result``  the length of the encoded result, in place of ``call`` and ``embed``.
``fetch``   how many references belong to the arguments, if not all of them do.
``this``    the position of ``self`` in the table, if it is a reference.
``mark``    the key of a reference in ``cereal-json``, if it is not ``$ref``.
``for``     the task, the id and the expiry of the message, if the body is signed; it is the second
            field. See ``binding``.
``signature``  of all else, at the end, if a body is signed whose format has it nowhere else.

The arguments are decoded only when they are needed, in the task's own ``try``.

kombu's serializers never write a body that begins like a header line, with ``{"cereal":`` and a
digit: its JSON has a space after a colon, its YAML quotes such a string, and in MessagePack
``{`` is the number 123, after which nothing may follow. Earlier versions of this library wrote
a header line without references; such bodies are read too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from ..exceptions import InvalidMessage
from . import plain, reading, writing
from .header import frame_of, header_line_for
from .signing import (
    has_signature,
    is_signed_by_us,
    signature_mismatch,
    with_signature,
    without_signature,
)

if TYPE_CHECKING:
    from ..rows.reference import Reference
    from .frame import Frame
    from .tables import Table

#: How a header line begins, followed by the version.
BEGINNING: Final[Any] = '{"cereal":'
BEGINNING_BYTES: Final[Any] = BEGINNING.encode()


def row_at(rows: Sequence[Any], place: Any) -> Any:
    """Return the row at a position of the table. Raises ``InvalidMessage`` if there is none."""
    if type(place) is not int or not 0 <= place < len(rows):
        raise InvalidMessage("The message names a reference that it does not hold.")
    return rows[place]


def as_bytes(data: Any) -> bytes:
    """Return the bytes of a binary body, which a transport may give in any type."""
    return data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)


class BodyFormat:
    """A format of bodies. Its subclasses say how values are encoded.

    A *blob* is an encoded value: the arguments, the embed or a result. Blobs, and bodies as
    ``open`` returns them, are text or bytes, depending on the format.
    """

    #: The name of the serializer.
    name: ClassVar[str]
    is_signed: ClassVar[bool] = False
    newline: ClassVar[Any] = b"\n"
    #: The number of bytes before the header line.
    header_offset: ClassVar[int] = 0

    def encode(self, value: Any, table: Table) -> Any:
        """Return the blob of ``value``, and add its references to ``table``.

        Raises ``UnsupportedValue`` if the format cannot carry the value, and what
        ``reference_of`` raises.
        """
        raise NotImplementedError

    def decode(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Return the value in ``blob``, with ``rows[i]`` in place of reference ``i``.

        Raises the errors of the format's parser for a blob that cannot be read.
        """
        raise NotImplementedError

    def safe_view(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Do what ``decode`` does for logs and monitors. Imports no class of the user's."""
        return self.decode(blob, rows, mark)

    def has_header(self, body: Any) -> bool:
        """Whether a body has a header line, so that kombu's serializer has not written it."""
        # kombu's json writes {"cereal": 1} with a space in place of the digit.
        beginning = BEGINNING if isinstance(body, str) else BEGINNING_BYTES
        return bool(body.startswith(beginning) and body[10:11].isdigit())

    def decode_plain(self, body: Any) -> Any:
        """Return the value of a body without a header line, as kombu's serializer does."""
        raise NotImplementedError

    def max_depth(self, body: Any) -> int:
        """Return a number of levels that a body without a header line does not exceed."""
        raise NotImplementedError

    def looks_like_call(self, body: Any) -> bool:
        """Whether an unreadable body without a header line was probably that of a call."""
        raise NotImplementedError

    def is_ambiguous(self, blobs: Sequence[Any], table: Table) -> bool:
        """Whether data of the user's in the blobs could be taken for references."""
        return False

    def seal(self, header: str, blobs: Sequence[Any]) -> Any:
        """Return the body of a header line and blobs."""
        return "".join((header, "\n", *blobs))

    def open(self, data: Any) -> Any:
        """Return the header line and the blobs of a body, in one piece.

        Raises ``UnicodeDecodeError`` if it is not text, or ``InvalidMessage``.
        """
        return data if isinstance(data, str) else bytes(data).decode()

    def dumps(self, body: Any, name: str) -> Any:
        """Return the encoded body of a message or a result, for the serializer ``name``.

        Raises ``SerializerNotAccepted`` if no app of this process accepts the serializer, and
        ``EncodingFailed`` if the format cannot carry the body. Its cause is an
        ``UnsavedInstance``, ``UnsupportedKey`` or ``UnsupportedValue``.
        """
        return writing.dumps(self, body, name)

    def row_body_writer(
        self, args: Any, kwargs: Any, embed: Any, name: str
    ) -> Callable[[Reference, Mapping[str, Any]], Any] | None:
        """Return a function that returns the body of a call on a row, or None.

        It takes the row and the headers of the message. For many rows with the same arguments it
        is faster than ``dumps``, and the bodies are the same. None if the arguments name rows too.
        """
        return writing.row_body_writer(self, args, kwargs, embed, name)

    def loads(self, data: Any) -> Any:
        """Return what a body holds: an ``EncodedCall``, an ``EncodedResult`` or a value.

        Runs no query. Of a call only the header line is inspected. If the rest cannot be read,
        ``InvalidMessage`` is raised when the task unpacks its arguments, and the failure is
        recorded; an exception here would lose the message.
        """
        return reading.loads(self, data)

    def read(self, body: Any) -> Frame:
        """Return the parts of a body, verified and not yet decoded.

        Raises ``InvalidMessage`` if it is damaged, forged, or of another version.
        """
        if not self.is_signed and not self.has_header(body):
            plain.value_of(self, body)  # raises the error for which the body became a Call
        try:
            line, newline, blobs = self.open(body).partition(self.newline)
            text = line if isinstance(line, str) else line.decode()
        except UnicodeDecodeError:
            raise InvalidMessage(f"The message is not a {self.name} body.") from None
        has_field = not self.is_signed and has_signature(text)
        if has_field and not is_signed_by_us(self.name, text, writing.as_bytes([blobs])):
            raise signature_mismatch(self.name)
        frame = frame_of(text if newline else "", blobs, self.name)
        frame.is_signed = self.is_signed or has_field
        return frame

    def bound_again(self, body: Any, binding: str) -> Any:
        """Return a body for another message, of which ``binding`` is the JSON, signed again.

        Raises ``InvalidMessage`` if it is damaged or forged, and so not to be signed.
        """
        if not self.read(body).is_signed:
            return body
        line, _, blobs = self.open(body).partition(self.newline)
        text = header_line_for(line if isinstance(line, str) else line.decode(), binding)
        if not self.is_signed:
            text = with_signature(self.name, without_signature(text), writing.as_bytes([blobs]))
        return self.seal(text, [blobs])

    def __reduce__(self) -> str:
        return "FORMAT"
