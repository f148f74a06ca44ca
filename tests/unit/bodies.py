"""Bodies of messages, written and read as Celery does: through kombu's registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from celery import shared_task
from celery._state import _task_stack
from celery.app.task import Context
from django.db import models
from kombu.exceptions import EncodeError
from kombu.serialization import prepare_accept_content, registry

from cereal_methods.exceptions import EncodingFailed
from cereal_methods.serializers.content import call_expected

M = TypeVar("M", bound=models.Model)

#: The formats, each once.
FORMATS = ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]

#: The formats whose bodies without references are those of kombu's serializer, and its name.
KOMBUS = {"cereal-json": "json", "cereal-yaml": "yaml", "cereal-msgpack": "msgpack"}

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


def consume(payload: Any, name: str) -> Any:
    """Return what a worker's consumer has of a message, as where it expects a call."""
    token = call_expected.set(True)
    try:
        return decode(payload, name)
    finally:
        call_expected.reset(token)


def refusal(value: Any, name: str) -> Any:
    """Return the error that a body or a result is refused with."""
    with pytest.raises(EncodeError) as caught:
        encode(value, name)
    error = caught.value
    assert type(error) is EncodingFailed
    assert error.args == (error.__cause__,)
    assert str(error) == str(error.__cause__)
    return error.__cause__


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


@shared_task(name="tests.unit.bodies.plain")
def plain(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A task of somebody else's: it has the rows where Celery unpacks its arguments."""
    return args, kwargs


@contextmanager
def running(task: Any, args: Any, kwargs: Any, **request: Any) -> Iterator[Any]:
    """Give a task as it is while it runs for a message, before its function is called."""
    _task_stack.push(task)
    task.request_stack.push(Context(request, args=args, kwargs=kwargs, called_directly=False))
    try:
        yield task
    finally:
        task.request_stack.pop()
        _task_stack.pop()


def unpack(args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments that the function of somebody else's task gets of a decoded body."""
    with running(plain, args, kwargs):
        arguments: tuple[tuple[Any, ...], dict[str, Any]] = plain.run(*args, **kwargs)
    return arguments
