"""Bodies of messages, written and read as Celery does: through kombu's registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from django.db import models
from kombu.exceptions import EncodeError
from kombu.serialization import prepare_accept_content, registry

M = TypeVar("M", bound=models.Model)

#: The formats, each once.
FORMATS = ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]

#: The names under which the formats are registered.
NAMES = [*FORMATS, "django_cereal_pickle"]

#: What a message embeds that is part of no canvas.
NO_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def stored(model: type[M], using: str = "default", **fields: Any) -> M:
    """Return an instance as if it had been read from a database, without a query."""
    instance = model(**fields)
    instance._state.adding = False
    instance._state.db = using
    return instance


def encode(value: Any, name: str) -> Any:
    """Return the payload of a body or a result."""
    return registry.dumps(value, name)[2]


def decode(payload: Any, name: str) -> Any:
    """Return what a worker's consumer has of a payload."""
    content_type = registry.name_to_type[name]
    encoding = registry._encoders[name].content_encoding
    return registry.loads(payload, content_type, encoding, accept=prepare_accept_content([name]))


def refusal(value: Any, name: str) -> Any:
    """Return the error that a body or a result is refused with."""
    with pytest.raises(EncodeError) as caught:
        encode(value, name)
    assert str(caught.value) == str(caught.value.args[0])
    return caught.value.args[0]


def call_body(
    args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None, **embed: Any
) -> tuple[Any, ...]:
    """Return the body of a message of protocol 2."""
    return (tuple(args), kwargs or {}, {**NO_EMBED, **embed})


def trip(
    name: str, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None, **embed: Any
) -> Any:
    """Return the decoded body of a call: args, kwargs and embed."""
    return decode(encode(call_body(args, kwargs, **embed), name), name)


def unpack(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that a function gets of a decoded body."""

    def function(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs

    return function(*args, **kwargs)
