"""Values that a batch's rows return, as text: each is checked at once, and kept in the journal."""

from __future__ import annotations

import base64
import pickle
from typing import Any, Final

from kombu.exceptions import EncodeError
from kombu.serialization import dumps, loads

from ..celery_api.kombu import content_type_of, encoding_of, serializer_of

#: The serializer that signs its bodies.
_SIGNED: Final = "cereal-pickle"

#: Plain pickles are unsigned, and a journal is a file.
_UNSIGNED: Final = frozenset({"pickle", "application/x-python-serialize"})


class Codec:
    """Encodes each row's value as the result backend will encode it."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._signs = serializer_of(backend.serializer) in _UNSIGNED

    def encode(self, value: Any) -> Any:
        """Return a value as JSON can hold it. Raises ``EncodeError`` if the backend refuses it."""
        if is_plain(value):
            return value
        value = self._backend.prepare_value(value)
        payload = self._backend.encode(value)
        if payload is value:  # Django's cache pickles it
            try:
                pickle.dumps(value)
            except Exception as error:
                raise EncodeError(error) from error
        if self._signs or payload is value:
            _, _, payload = dumps(value, serializer=_SIGNED)
        if isinstance(payload, str):
            return {"text": payload}
        return {"bytes": base64.b64encode(bytes(payload)).decode()}

    def decode(self, entry: Any) -> Any:
        """Return the value that ``encode`` was given."""
        if not isinstance(entry, dict):
            return entry
        payload = entry["text"] if "text" in entry else base64.b64decode(entry["bytes"])
        if not self._signs and not self._cache_pickles():
            return self._backend.decode(payload)
        content_type = content_type_of(_SIGNED)
        return loads(payload, content_type, encoding_of(_SIGNED), accept={content_type})

    def _cache_pickles(self) -> bool:
        """Whether the backend does not encode values itself: its cache pickles them."""
        probe: dict[str, Any] = {}
        return bool(self._backend.encode(probe) is probe)


def is_plain(value: Any) -> bool:
    """Whether every serializer carries a value unchanged."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii()) and "\0" not in value
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    if kind is list:
        return all(type(item) is not list and is_plain(item) for item in value)
    return value is None or kind is bool or kind is float


def check_result(task: Any, request: Any, result: Any) -> None:
    """Raise the error of storing a result, while the row that returned it is known."""
    if not (request.is_eager or request.ignore_result or task.ignore_result):
        Codec(task.backend).encode(result)
