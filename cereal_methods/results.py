"""Results that hold instances, fetched when ``AsyncResult.get()`` asks for them.

Result backends decode a result's whole record for much less than its value:
``result.state``, the check before a result is stored, the parts of a chord. None
of that fetches, so a row that is gone cannot make a state unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import django
from celery import current_task
from celery.states import EXCEPTION_STATES, READY_STATES
from django.apps import apps

from .calls import Decoder, unreadable
from .exceptions import InvalidMessage
from .hydration import fetch_all
from .references import all_from_wire

#: Celery's task that joins a chord's parts: it only forwards them.
_CHORD_UNLOCK: Final = "celery.chord_unlock"


def decode_result(decoder: Decoder, blob: Any, wire: list[Any], mark: str) -> Any:
    """Return a result from its encoded form, with fresh instances for its references.

    In a backend's record (a dict with ``status`` and ``result``) the instances
    are fetched when ``result`` is read. Inside an exception's arguments and the
    parts of a chord, references stay references: the first may name the very
    row whose loss it reports, the second are only forwarded to the body.
    """
    if not apps.ready and not apps.loading:
        django.setup()  # ``celery result`` reads results without it
    if not wire:
        return _decode(decoder, blob, (), mark)
    # What kind of result it is can be told without making the user's objects, whose
    # __setstate__ may need the instances.
    outline = _decode(decoder, blob, all_from_wire(wire), mark, peek=True)
    if isinstance(outline, dict) and "status" in outline and "result" in outline:
        if outline["status"] not in EXCEPTION_STATES:
            return ResultRecord(outline, decoder, blob, wire, mark)
        try:
            return _decode(decoder, blob, all_from_wire(wire), mark)
        except InvalidMessage:  # what was raised is told all the same
            return outline
    if _is_chord_part(outline) or _in_chord_unlock():
        return _forwarded(decoder, blob, wire, mark)
    return _fetched(decoder, blob, wire, mark)


class ResultRecord(dict[str, Any]):
    """A backend's record of a result; reading ``result`` fetches its instances, once."""

    def __init__(
        self, outline: dict[str, Any], decoder: Decoder, blob: Any, wire: list[Any], mark: str
    ) -> None:
        super().__init__(outline)
        self._encoded: tuple[Decoder, Any, list[Any], str] | None = (decoder, blob, wire, mark)

    def _settle(self) -> None:
        if self._encoded is not None:
            if _in_chord_unlock():
                super().__setitem__("result", _forwarded(*self._encoded)["result"])
            else:
                super().__setitem__("result", _fetched(*self._encoded)["result"])
                self._encoded = None

    def __getitem__(self, key: str) -> Any:
        if key == "result":
            self._settle()
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "result":
            self._encoded = None
        super().__setitem__(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, fetched if it is the result."""
        return self[key] if key in self else default  # noqa: SIM401  (it would call itself)

    def pop(self, key: str, *default: Any) -> Any:
        """Take an item out, fetched if it is the result."""
        if key == "result":
            self._settle()
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, fetched if it is the result, or set it."""
        if key not in self:
            self[key] = default
        return self[key]

    def items(self) -> Any:
        """Return the record's items, with the result fetched."""
        self._settle()
        return super().items()

    def values(self) -> Any:
        """Return the record's values, with the result fetched."""
        self._settle()
        return super().values()

    def __iter__(self) -> Iterator[str]:
        # Makes dict(record) and {**record} read it key by key, not around __getitem__.
        return super().__iter__()


def _fetched(decoder: Decoder, blob: Any, wire: list[Any], mark: str) -> Any:
    return _decode(decoder, blob, fetch_all(all_from_wire(wire)), mark)


def _forwarded(decoder: Decoder, blob: Any, wire: list[Any], mark: str) -> Any:
    """Return a result with its references in place, unless only the instances will do."""
    try:
        return _decode(decoder, blob, all_from_wire(wire), mark)
    except InvalidMessage:
        return _fetched(decoder, blob, wire, mark)


def _decode(
    decoder: Decoder, blob: Any, rows: Sequence[Any], mark: str, *, peek: bool = False
) -> Any:
    try:
        return (decoder.peek if peek else decoder.decode)(blob, rows, mark)
    except Exception as error:
        raise unreadable("result", decoder, error) from (error if decoder.is_signed else None)


def _is_chord_part(value: Any) -> bool:
    # What celery.backends.redis pushes for each task of a chord's header.
    return (
        isinstance(value, (list, tuple))
        and len(value) == 4
        and value[0] == 1
        and isinstance(value[1], str)
        and value[2] in READY_STATES
    )


def _in_chord_unlock() -> bool:
    return bool(current_task) and current_task.name == _CHORD_UNLOCK
