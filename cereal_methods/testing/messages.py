"""Recorded messages, as a worker would receive them."""

from __future__ import annotations

import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from celery import signature
from kombu import Message

from ..celery_api.kombu import serializer_of
from ..celery_api.tasks import maybe_iso8601, maybe_make_aware
from ..rows.container import with_references
from .calls import Call

if TYPE_CHECKING:
    from celery.result import AsyncResult

    from .expected import Expected

R_co = TypeVar("R_co", covariant=True)


class SentTask(Generic[R_co]):
    """A message that was sent: ``<SentTask shop.Order.ship <shop.Order 5> 'dhl'>``."""

    def __init__(
        self, app: Any, message: Message, queue: str, countdown: float | None = None
    ) -> None:
        self._app = app
        #: kombu's message: ``body`` (bytes), ``headers`` and ``properties`` (dicts).
        self.message: Any = message
        #: str: the name of the queue.
        self.queue = queue
        #: float: the seconds of ``countdown=``, also of a retry, or None.
        self.countdown = countdown
        #: bool: whether a recorder has run it.
        self.has_run = False
        self._backend = app.backend

    @property
    def id(self) -> str:
        """The task's id."""
        found: str = self.message.headers["id"]
        return found

    @property
    def name(self) -> str:
        """The name of the Celery task: ``shop.models.Order.ship``."""
        found: str = self.message.headers["task"]
        return found

    @property
    def serializer(self) -> str:
        """The name of the message's serializer."""
        return serializer_of(self.message.content_type)

    @cached_property
    def _parts(self) -> tuple[Any, ...]:
        # Of a copy, because a message decodes only once and the run needs its containers.
        message = self.message
        copy = Message(
            body=message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            accept={message.content_type},
        )
        return with_references(*copy.decode())

    @cached_property
    def call(self) -> Call:
        """The call: the row and the arguments."""
        args, kwargs, _ = self._parts
        return Call.of(self.name, args, kwargs, self.message.content_type)

    @property
    def row(self) -> Any:
        """The reference of ``self`` (a ``ModelReference``) or of a batch's rows, or None."""
        return self.call.row

    @property
    def args(self) -> tuple[Any, ...]:
        """The method's positional arguments, with references instead of instances."""
        return self.call.args

    @property
    def kwargs(self) -> dict[str, Any]:
        """The method's keyword arguments, with references instead of instances."""
        return dict(self.call.kwargs)

    @property
    def eta(self) -> datetime.datetime | None:
        """The earliest time (aware) at which a worker runs it, or None."""
        return self._time("eta")

    @property
    def expires(self) -> datetime.datetime | None:
        """The time (aware) after which workers discard it, or None."""
        return self._time("expires")

    @property
    def chain(self) -> list[Call]:
        """The calls that follow it in its chain, in order."""
        return [call for each in reversed(self._embedded("chain")) for call in self._calls(each)]

    @property
    def callbacks(self) -> list[Call]:
        """The calls that follow if it succeeds."""
        return [call for each in self._embedded("callbacks") for call in self._calls(each)]

    @property
    def errbacks(self) -> list[Call]:
        """The calls that follow if it fails."""
        return [call for each in self._embedded("errbacks") for call in self._calls(each)]

    @property
    def chord(self) -> Call | None:
        """The call of the body of its chord, or None."""
        body = self._parts[2].get("chord") if self._parts[2] else None
        return next(iter(self._calls(body)), None) if body else None

    @property
    def result(self) -> AsyncResult[R_co]:
        """Its result, which exists when the recorder has run it."""
        found: AsyncResult[R_co] = self._app.AsyncResult(self.id, backend=self._backend)
        return found

    def is_of(self, expected: Expected) -> bool:
        """Whether its call is the expected one."""
        return expected.matches(self.call)

    def describe(self) -> str:
        """Return the call and the options that differ from the defaults, as text."""
        text = " | ".join(map(repr, [self.call, *self.chain]))
        notes = [f"queue {self.queue!r}"] if self.queue != self._app.amqp.default_queue.name else []
        if self.countdown:
            notes.append(f"in {self.countdown:g} s")
        elif self.eta is not None:
            notes.append(f"at {self.eta:%Y-%m-%d %H:%M:%S %Z}")
        notes += [f"then {call!r}" for call in self.callbacks]
        notes += [f"on error {call!r}" for call in self.errbacks]
        notes += [f"in the chord of {self.chord!r}"] if self.chord else []
        notes += [f"retry {retries}"] if (retries := self.message.headers.get("retries")) else []
        return f"{text} ({', '.join(notes)})" if notes else text

    def _time(self, name: str) -> datetime.datetime | None:
        found = maybe_iso8601(self.message.headers.get(name))
        return None if found is None else maybe_make_aware(found, self._app.timezone)

    def _embedded(self, name: str) -> list[Any]:
        return list((self._parts[2] or {}).get(name) or ())

    def _calls(self, plain: Any) -> list[Call]:
        found: Any = signature(plain, app=self._app)
        if hasattr(found, "tasks"):
            return [call for part in found.tasks for call in self._calls(part)]
        return [Call.of(found.task, found.args, found.kwargs, self.message.content_type)]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"
