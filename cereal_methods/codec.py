"""Values of a batch's rows in text: tested one by one, and kept until the batch has ended."""

from __future__ import annotations

import base64
import pickle
from typing import Any, Final

from kombu.exceptions import EncodeError
from kombu.serialization import dumps, loads, registry  # type: ignore[attr-defined]

#: The serializer whose bodies are signed; its module is for those above.
_SIGNED: Final = "cereal-pickle"

#: Plain pickles are not signed, and these texts lie in files.
_UNSIGNED: Final = frozenset({"pickle", "application/x-python-serialize"})


class Codec:
    """Encodes what rows return as the result backend will, each by itself."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        name = registry.type_to_name.get(backend.serializer, backend.serializer)
        self._own = _SIGNED if name in _UNSIGNED else None

    def encode(self, value: Any) -> Any:
        """Return a value for JSON. Raises ``EncodeError`` where the backend would refuse it."""
        if is_plain(value):
            return value
        value = self._backend.prepare_value(value)
        payload = self._backend.encode(value)
        if payload is value:  # a backend that leaves it to its cache, which pickles
            try:
                pickle.dumps(value)
            except Exception as error:
                raise EncodeError(error) from error
        if self._own is not None or payload is value:
            _, _, payload = dumps(value, serializer=_SIGNED)
        if isinstance(payload, str):
            return {"text": payload}
        return {"bytes": base64.b64encode(bytes(payload)).decode()}

    def decode(self, entry: Any) -> Any:
        """Return the value that ``encode`` took."""
        if not isinstance(entry, dict):
            return entry
        payload = entry["text"] if "text" in entry else base64.b64decode(entry["bytes"])
        if self._own is None and not self._leaves_it_to_its_cache():
            return self._backend.decode(payload)
        content_type, encoding, _ = registry._encoders[_SIGNED]
        return loads(payload, content_type, encoding, accept={content_type})

    def _leaves_it_to_its_cache(self) -> bool:
        probe: dict[str, Any] = {}
        return bool(self._backend.encode(probe) is probe)


def is_plain(value: Any) -> bool:
    """Tell whether every serializer carries a value as it is."""
    kind = type(value)
    if kind is str:
        return bool(value.isascii()) and "\0" not in value
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    if kind is list:
        return all(type(item) is not list and is_plain(item) for item in value)
    return value is None or kind is bool or kind is float
