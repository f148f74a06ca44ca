"""The serializers that kombu loads by entry points, and their names.

kombu loads the entry points of the group ``kombu.serializers`` while ``kombu.serialization``
itself is being imported. So this module, and the package above it, must not import kombu,
Celery or Django. The functions here import them when a body is first written or read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final, Protocol

CEREAL_PICKLE: Final = "cereal-pickle"
CEREAL_JSON: Final = "cereal-json"
CEREAL_YAML: Final = "cereal-yaml"
CEREAL_MSGPACK: Final = "cereal-msgpack"

#: The name under which django-cereal 0.2.1 registered its serializer.
DJANGO_CEREAL_PICKLE: Final = "django_cereal_pickle"


class Format(Protocol):
    """How message bodies are encoded; see ``serializers.body.BodyFormat``."""

    def dumps(self, body: Any, name: str) -> Any:
        """Return the encoded body."""

    def loads(self, data: Any) -> Any:
        """Return what a body holds. Runs no query."""


@cache
def _format(module: str) -> Format:
    body_format: Format = import_module(f"{__package__}.serializers.{module}").FORMAT
    return body_format


@cache
def _decoded() -> Callable[[Any], Any]:
    from .running.decoding import decoded

    return decoded


class _Serializer:
    """A serializer, which unpacks into the arguments of ``kombu.serialization.register``."""

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
        """Return the encoded body of a message or a result; see ``BodyFormat.dumps``."""
        return _format(self.module).dumps(body, self.name)

    def loads(self, data: Any) -> Any:
        """Return the value of a result, or the containers of a call's arguments.

        Fetches the instances of a result. Runs no query for a call. Raises ``InvalidMessage`` for
        a result that cannot be read.
        """
        return _decoded()(_format(self.module).loads(data))


cereal_pickle = _Serializer(CEREAL_PICKLE, "pickle", "binary")
cereal_json = _Serializer(CEREAL_JSON, "json", "utf-8")
cereal_yaml = _Serializer(CEREAL_YAML, "yaml", "utf-8")
cereal_msgpack = _Serializer(CEREAL_MSGPACK, "msgpack", "binary")
django_cereal_pickle = _Serializer(DJANGO_CEREAL_PICKLE, "pickle", "binary")

_SERIALIZERS: Final = {
    each.name: each
    for each in (cereal_pickle, cereal_json, cereal_yaml, cereal_msgpack, django_cereal_pickle)
}


def format_of(name: str) -> Any | None:
    """Return the format of a serializer, or None if it is not one of this library's."""
    serializer = _SERIALIZERS.get(name)
    return None if serializer is None else _format(serializer.module)
