"""Instances in results, which are fetched when ``AsyncResult.get()`` reads the result.

Result backends decode a result's record for other reasons too: for ``result.state``, before they
store a result, to collect the parts of a chord. Nothing is fetched then, so a deleted row does not
make a state unreadable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import django
from celery.states import EXCEPTION_STATES

from ..celery_api.backends import is_chord_part
from ..celery_api.tasks import is_in_chord_unlock
from ..django_api.models import is_set_up
from ..exceptions import InvalidMessage
from ..rows.fetch import fetch_all
from ..rows.wire import references_from_wire
from ..serializers.frame import Decoder, unreadable_error


def decode_result(decoder: Decoder, blob: Any, wire: list[Any], mark: str) -> Any:
    """Return a result from its encoded form, with fresh instances for its references.

    In a backend's record (a dict with ``status`` and ``result``) the instances are fetched when
    ``result`` is read. References stay references in an exception's arguments, which may name the
    row that is missing, and in the parts of a chord, which are only forwarded to its body.
    """
    if not is_set_up():
        django.setup()  # ``celery result`` does not call it
    if not wire:
        return _decode(decoder, blob, (), mark)
    # The kind of result is visible without the user's objects, whose __setstate__ may need the
    # instances.
    preview = _decode(decoder, blob, references_from_wire(wire), mark, with_objects=False)
    if isinstance(preview, dict) and "status" in preview and "result" in preview:
        if preview["status"] not in EXCEPTION_STATES:
            return ResultRecord(preview, decoder, blob, wire, mark)
        try:
            return _decode(decoder, blob, references_from_wire(wire), mark)
        except InvalidMessage:  # an argument cannot be decoded: still report the exception
            return preview
    if is_chord_part(preview) or is_in_chord_unlock():
        return _forwarded(decoder, blob, wire, mark)
    return _fetched(decoder, blob, wire, mark)


class ResultRecord(dict[str, Any]):
    """A backend's record of a result; the first read of ``result`` fetches its instances."""

    def __init__(
        self, preview: dict[str, Any], decoder: Decoder, blob: Any, wire: list[Any], mark: str
    ) -> None:
        super().__init__(preview)
        self._encoded: tuple[Decoder, Any, list[Any], str] | None = (decoder, blob, wire, mark)

    def _resolve(self) -> None:
        if self._encoded is not None:
            if is_in_chord_unlock():
                super().__setitem__("result", _forwarded(*self._encoded)["result"])
            else:
                super().__setitem__("result", _fetched(*self._encoded)["result"])
                self._encoded = None

    def __getitem__(self, key: str) -> Any:
        if key == "result":
            self._resolve()
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "result":
            self._encoded = None
        super().__setitem__(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key; its instances are fetched if it is ``result``."""
        return self[key] if key in self else default  # noqa: SIM401  (it would call itself)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value; its instances are fetched if it is ``result``."""
        if key == "result":
            self._resolve()
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, as ``get`` does, and set it if the key is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def items(self) -> Any:
        """Return the record's items, with the instances in its result."""
        self._resolve()
        return super().items()

    def values(self) -> Any:
        """Return the record's values, with the instances in its result."""
        self._resolve()
        return super().values()

    def __iter__(self) -> Iterator[str]:
        # Because of this override dict(record) and {**record} call __getitem__.
        return super().__iter__()


def _fetched(decoder: Decoder, blob: Any, wire: list[Any], mark: str) -> Any:
    return _decode(decoder, blob, fetch_all(references_from_wire(wire)), mark)


def _forwarded(decoder: Decoder, blob: Any, wire: list[Any], mark: str) -> Any:
    """Return a result with references in it; with instances if its objects cannot do without."""
    try:
        return _decode(decoder, blob, references_from_wire(wire), mark)
    except InvalidMessage:
        return _fetched(decoder, blob, wire, mark)


def _decode(
    decoder: Decoder, blob: Any, rows: Sequence[Any], mark: str, *, with_objects: bool = True
) -> Any:
    try:
        return (decoder.decode if with_objects else decoder.safe_view)(blob, rows, mark)
    except Exception as error:
        raise unreadable_error("result", decoder, error) from (error if decoder.is_signed else None)
