"""The serializers: their names, and what kombu loads them by.

kombu loads the entry points of group ``kombu.serializers`` while
``kombu.serialization`` itself is being imported, which is why nothing here
imports kombu, celery or Django before a message is encoded or decoded.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol

CEREAL_PICKLE: Final = "cereal-pickle"
CEREAL_JSON: Final = "cereal-json"
CEREAL_YAML: Final = "cereal-yaml"
CEREAL_MSGPACK: Final = "cereal-msgpack"

#: The name under which django-cereal 0.2.1 registered its serializer.
DJANGO_CEREAL_PICKLE: Final = "django_cereal_pickle"

__all__ = ["CEREAL_JSON", "CEREAL_MSGPACK", "CEREAL_PICKLE", "CEREAL_YAML"]


class Format(Protocol):
    """One way of writing message bodies."""

    def dumps(self, body: Any, name: str) -> Any:
        """Return the encoded body."""

    def loads(self, data: Any) -> Any:
        """Return the body, with nothing fetched."""


@cache
def _format(module: str) -> Format:
    found: Format = import_module(f"{__name__}.{module}").FORMAT
    return found


class _Serializer:
    """What an entry point names: the arguments of ``kombu.serialization.register``."""

    def __init__(self, name: str, module: str, encoding: str) -> None:
        self.name = name
        self.module = module
        self.encoding = encoding

    def __iter__(self) -> Any:
        yield self.dumps
        yield self.loads
        yield f"application/x-{self.name.replace('_', '-')}"
        yield self.encoding

    def dumps(self, body: Any) -> Any:
        """Encode a message body or a result."""
        return _format(self.module).dumps(body, self.name)

    def loads(self, data: Any) -> Any:
        """Decode a message body or a result."""
        return _format(self.module).loads(data)


cereal_pickle = _Serializer(CEREAL_PICKLE, "pickle", "binary")
cereal_json = _Serializer(CEREAL_JSON, "json", "utf-8")
cereal_yaml = _Serializer(CEREAL_YAML, "yaml", "utf-8")
cereal_msgpack = _Serializer(CEREAL_MSGPACK, "msgpack", "binary")
django_cereal_pickle = _Serializer(DJANGO_CEREAL_PICKLE, "pickle", "binary")
