"""Embedded signatures: what a message asks its worker to send when its task has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .exceptions import InvalidMessage

#: Serializers that sign, or that say more than an unsigned body may.
SIGNING: Final = frozenset({"cereal-pickle", "django_cereal_pickle", "pickle", "auth"})

_LISTS: Final = ("callbacks", "errbacks", "chain")


def check_embed(embed: Any, *, is_signed: bool) -> None:
    """Raise ``InvalidMessage`` for an embed that Celery could not read, or that asks too much.

    What a message without a signature embeds is not sent on with one: the worker would vouch for
    arguments of whoever can write to the broker.
    """
    if not embed:
        return
    for name in _LISTS:
        value = embed.get(name)
        if value and not isinstance(value, (list, tuple)):
            raise InvalidMessage("The message embeds something that is no canvas.")
    chord = embed.get("chord")
    if (chord and not isinstance(chord, Mapping)) or not all(
        isinstance(name, str) for name in embed
    ):
        raise InvalidMessage("The message embeds something that is no canvas.")
    if not is_signed:
        check_forwarded(list(embed.values()))


def check_forwarded(value: Any) -> None:
    """Raise ``InvalidMessage`` for a signature, at any depth, that asks to be sent signed."""
    seen: set[int] = set()  # what YAML repeats is looked at once
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
