"""Embedded signatures: what a worker sends when a message's task has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from .. import conf
from ..exceptions import InvalidMessage
from ..rows.container import ArgumentContainer
from ..rows.text import for_json
from ..rows.wire import references_from_wire
from ..serializers.frame import EMPTY_EMBED, INTERRUPTS, unreadable_error

if TYPE_CHECKING:
    from ..serializers.call import Call

#: Serializers that sign a message, or that are trusted without a signature.
SIGNING: Final = frozenset({"cereal-pickle", "django_cereal_pickle", "pickle", "auth"})

_LISTS: Final = ("callbacks", "errbacks", "chain")


def check_embed(embed: Any, *, is_signed: bool) -> None:
    """Raise ``InvalidMessage`` for an embed that Celery could not read, or may not send on.

    Signatures of a message that is not signed must not be sent by a serializer that signs: the
    worker would sign the arguments of anybody who can write to the broker. Where signatures are
    required, all serializers of this library sign, and any task could be the first of a canvas.
    """
    if not embed:
        return
    chord = embed.get("chord")
    if (
        not all(isinstance(name, str) for name in embed)
        or not all(isinstance(embed.get(name) or [], (list, tuple)) for name in _LISTS)
        or (chord and not isinstance(chord, Mapping))
    ):
        raise InvalidMessage("The message embeds something that is not a canvas.")
    if not is_signed:
        if conf.get("REQUIRE_SIGNED") and any(embed.values()):
            raise InvalidMessage(
                "The message is not signed, and embeds signatures, which this worker would sign: "
                "CEREAL_METHODS['REQUIRE_SIGNED'] is True here. Send the first task of the canvas "
                "with serializer='cereal-json'."
            )
        check_forwarded(list(embed.values()))


def check_forwarded(value: Any) -> None:
    """Raise ``InvalidMessage`` for a signature, at any depth, that is to be sent signed."""
    seen: set[int] = set()  # YAML may repeat a value many times: it is checked once
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or not isinstance(part, (list, tuple, Mapping)):
            continue
        seen.add(id(part))
        if not isinstance(part, Mapping):
            waiting.extend(part)
            continue
        waiting.extend(part.values())
        options = part.get("options")
        serializer = options.get("serializer") if isinstance(options, Mapping) else None
        if isinstance(serializer, str) and serializer in SIGNING:
            raise InvalidMessage(
                "The message is not signed, and embeds a signature that is to be sent with "
                f"serializer={serializer!r}. Send the first task of the canvas with that "
                "serializer too, or leave the option out."
            )


class LazyEmbed(ArgumentContainer, Mapping[str, Any]):
    """The signatures that a message embeds (link, chain, chord), decoded when they are read.

    The consumer does not need them, and their references stay references, as they are only
    forwarded. Celery reads them outside of the task's ``try``: if they cannot be decoded, the
    call fails instead, inside of it, where the failure is recorded.
    """

    __slots__ = ("_value", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self._value: Mapping[str, Any] | None = None

    def _read(self) -> Mapping[str, Any]:
        if self._value is None:
            frame = self.call.frame()
            try:
                if frame.embed is None:
                    embed: Any = EMPTY_EMBED
                else:
                    rows = references_from_wire(frame.wire)
                    embed = self.call.decoder.decode(frame.embed, rows, frame.mark)
                if not (isinstance(embed, dict) and embed.keys() <= EMPTY_EMBED.keys()):
                    raise InvalidMessage("The message embeds something that is not a canvas.")
                check_embed(embed, is_signed=frame.is_signed)
                self._value = {**EMPTY_EMBED, **embed}
            except INTERRUPTS:
                raise
            except Exception as error:
                self.call.fail_with(
                    unreadable_error("embedded signatures", self.call.decoder, error)
                )
                self._value = EMPTY_EMBED
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyEmbed, (self.call,)

    def with_references(self) -> dict[str, Any]:
        """Return the signatures as they were sent. Runs no query."""
        return dict(self._read())

    def for_json(self) -> Any:
        """Return the signatures as JSON can show them."""
        return for_json(self.with_references())

    __json__ = for_json

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"
