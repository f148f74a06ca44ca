"""Results that hold instances, fetched when ``AsyncResult.get()`` asks for them.

Result backends decode a result's whole record for much less than its value:
``result.state``, the check before a result is stored, the parts of a chord. None
of that fetches, so a row that is gone cannot make a state unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from celery import current_task
from celery.states import EXCEPTION_STATES, READY_STATES

from .arguments import Decoder, unreadable
from .hydration import fetch_all
from .references import from_wire

#: Celery's task that joins a chord's parts: it only forwards them.
_CHORD_UNLOCK: Final = "celery.chord_unlock"


def decode_result(decoder: Decoder, blob: Any, wire: list[Any], mark: str) -> Any:
    """Return a result from its encoded form, with fresh instances for its references.

    In a backend's record (a dict with ``status`` and ``result``) the instances
    are fetched when ``result`` is read. Inside an exception's arguments and the
    parts of a chord, references stay references: the first may name the very
    row whose loss it reports, the second are only forwarded to the body.
    """
    references = list(map(from_wire, wire))
    outline = _decode(decoder, blob, references, mark)
    if not references or _is_chord_part(outline):
        return outline
    if isinstance(outline, dict) and "status" in outline and "result" in outline:
        if outline["status"] in EXCEPTION_STATES:
            return outline
        return ResultRecord(outline, decoder, blob, wire, mark)
    if _in_chord_unlock():
        return outline
    return _decode(decoder, blob, fetch_all(references), mark)


class ResultRecord(dict[str, Any]):
    """A backend's record of a result; reading ``result`` fetches its instances, once."""

    def __init__(
        self, outline: dict[str, Any], decoder: Decoder, blob: Any, wire: list[Any], mark: str
    ) -> None:
        super().__init__(outline)
        self._encoded: tuple[Decoder, Any, list[Any], str] | None = (decoder, blob, wire, mark)

    def _settle(self) -> None:
        if self._encoded is not None and not _in_chord_unlock():
            decoder, blob, wire, mark = self._encoded
            rows = fetch_all(list(map(from_wire, wire)))
            super().__setitem__("result", _decode(decoder, blob, rows, mark)["result"])
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


def _decode(decoder: Decoder, blob: Any, rows: list[Any], mark: str) -> Any:
    try:
        return decoder.decode(blob, rows, mark)
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
