"""A body taken apart, and what each format does with its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from celery.exceptions import SoftTimeLimitExceeded

from ..exceptions import InvalidMessage

#: The embed of a message that is not part of a canvas.
EMPTY_EMBED: Final[Mapping[str, Any]] = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))

#: Args and kwargs.
Arguments: TypeAlias = tuple[list[Any], dict[str, Any]]

#: Exceptions that may be raised while something is decoded, but not because of it.
INTERRUPTS: Final = (MemoryError, SoftTimeLimitExceeded)


@dataclass(slots=True)
class Frame:
    """The parts of a body, verified and not yet decoded.

    ``call``, ``embed`` and ``result`` are blobs. ``wire`` are the references in wire form: the
    first ``fetch`` of them belong to the arguments, the others to the embed, whose signatures
    are only forwarded. ``this`` is the position of ``self`` among them. ``mark`` is the key of a
    reference in ``cereal-json``. ``is_signed`` tells whether the sender had the signing key.
    """

    call: Any = None
    embed: Any = None
    result: Any = None
    wire: list[Any] = field(default_factory=list)
    mark: str = ""
    fetch: int = 0
    this: int | None = None
    is_signed: bool = False


class Decoder(Protocol):
    """What a format does with the bytes of a message. Must pickle by name."""

    name: ClassVar[str]
    #: Whether every body of the format is signed.
    is_signed: ClassVar[bool]
    #: The number of bytes before the header line.
    header_offset: ClassVar[int]

    def read(self, body: Any) -> Frame:
        """Return the parts of a body. Raises ``InvalidMessage`` if it must not be decoded."""

    def decode(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Return the value in ``blob``, with ``rows[i]`` in place of reference ``i``."""

    def safe_view(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Do what ``decode`` does for logs and monitors. Imports no class of the user's."""

    def bound_again(self, body: Any, binding: str) -> Any:
        """Return a signed body for another message, of which ``binding`` is the JSON."""


def unreadable_error(what: str, decoder: Decoder, error: Exception) -> InvalidMessage:
    """Return the error for a part of a message that cannot be decoded, from the parser's error."""
    if isinstance(error, InvalidMessage):
        return error
    # Parsers quote what they parse, and errors end up in logs.
    reason = f"{type(error).__name__}: {error}" if decoder.is_signed else type(error).__name__
    return InvalidMessage(
        f"The {what} of a message cannot be read: {reason}. Either the message was damaged on "
        "its way, or this process does not have a class that it contains."
    )
