"""A message's call: its body as it came, taken apart when it is asked for something."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from celery.exceptions import SoftTimeLimitExceeded

from . import references
from .exceptions import InvalidMessage
from .hydration import fetch
from .references import QuerySetReference, Reference, all_from_wire, from_wire
from .stand_ins import stand_in

#: The keyword under which ``self`` travels.
THIS: Final = references.THIS

#: What a message carries beside its arguments when it is part of no canvas.
NO_EMBED: Final[Mapping[str, Any]] = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))

Arguments: TypeAlias = tuple[list[Any], dict[str, Any]]

# Raised in the middle of decoding, but not because of what is decoded.
INTERRUPTS: Final = (MemoryError, SoftTimeLimitExceeded)

_UNREADABLE: Final = "<unreadable message>"


@dataclass(slots=True)
class Frame:
    """A message's body, taken apart and verified, its blobs not yet decoded.

    ``wire`` are the references in wire form. The first ``fetch`` of them belong to the
    arguments, any others to the embedded signatures, which are only forwarded.
    ``this`` is the place of ``self`` among them, if any.
    """

    call: Any = None
    embed: Any = None
    result: Any = None
    wire: list[Any] = field(default_factory=list)
    mark: str = ""
    fetch: int = 0
    this: int | None = None


class Decoder(Protocol):
    """What a format does with the bytes of a message. Must pickle by name."""

    name: ClassVar[str]
    #: Whether somebody with the key vouches for what is decoded.
    is_signed: ClassVar[bool]

    def read(self, body: Any) -> Frame:
        """Return the parts of a body. Raises ``CerealError`` if it is not to be decoded."""

    def decode(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Return the value in ``blob``, with ``rows[i]`` in the place of reference ``i``."""

    def peek(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Do the same for display only: without importing anything of the user's."""


class _Handed(list[Any]):
    """What a decoder takes rows from; notes whether it took one."""

    taken = False

    def __getitem__(self, place: Any) -> Any:
        self.taken = True
        return super().__getitem__(place)


class Call:
    """The arguments of one message, which its containers share.

    It holds the body as it came, and takes it apart when the first of them is asked
    for something: the consumer, which only passes it on, does not.
    """

    __slots__ = (
        "_frame",
        "_objects",
        "_outline",
        "_peeked",
        "_taken",
        "body",
        "decoder",
        "error",
        "has_failed",
    )

    def __init__(self, decoder: Decoder, body: Any, error: Exception | None = None) -> None:
        self.decoder = decoder
        self.body = body
        #: Why the arguments could not be had, and whether the task has failed for it.
        self.error = error
        self.has_failed = False
        self._frame: Frame | None = None
        self._outline: Arguments | None = None
        self._peeked: Arguments | None = None
        self._taken = False
        self._objects: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, (self.decoder, self.body, self.error)

    def frame(self) -> Frame:
        """Return the parts of the body; a body that cannot be read has none, and fails the call."""
        if self._frame is None:
            try:
                self._frame = self.decoder.read(self.body)
            except InvalidMessage as error:
                self._frame = Frame()
                self.error = error
        return self._frame

    def break_off(self, error: InvalidMessage) -> None:
        """Make the call fail with ``error`` in the worker, before its task begins."""
        self.error = error

    def references(self) -> list[Reference]:
        """Return the references of the arguments, ``self`` among them in its place."""
        frame = self.frame()
        found = all_from_wire(frame.wire[: frame.fetch])
        if frame.this is not None:
            found[frame.this] = alone(found[frame.this])
        return found

    def own(self) -> Reference | None:
        """Return the reference of ``self``, or of several rows, or None if there is none."""
        frame = self.frame()
        if frame.this is None:
            return None
        return alone(from_wire(frame.wire[frame.this]))

    def outline(self) -> Arguments:
        """Return args and kwargs with a stand-in for each row. Runs no query.

        Where no other row is named ``self`` is a reference, which takes less time.

        Raises ``InvalidMessage`` if the message cannot be read.
        """
        if self._outline is None:
            frame = self.frame()
            if isinstance(self.error, InvalidMessage):
                raise self.error
            if frame.fetch == 1 and frame.this == 0:  # as most messages have it
                rows = _Handed(self.references())
                self._outline = self._read(rows)
                if not rows.taken:
                    return self._outline
            found = self.references()
            rows = _Handed(stand_in(each, fetch) for each in found)
            if frame.this is not None and isinstance(found[frame.this], QuerySetReference):
                rows[frame.this] = found[frame.this]  # of a batch, which runs row by row
            self._outline = self._read(rows)
            if self._taken:
                self._objects = _objects_in(*self._outline, rows)
        return self._outline

    def begin(self, rows: Mapping[Reference, Any]) -> bool:
        """Make the rows what the outline has, and return whether that could be done.

        It cannot once the outline has been read: what was handed out holds stand-ins.
        """
        if self._outline is None:
            self._outline = self._read(_Handed(rows[each] for each in self.references()))
            return True
        return False

    def _read(self, rows: _Handed) -> Arguments:
        try:
            found = self._decode(rows)
        except InvalidMessage as error:
            self.error = error
            raise
        self._taken = rows.taken
        return found

    def names_rows(self) -> bool:
        """Whether rows are named among the arguments, beside ``self``."""
        self.outline()
        return self._taken

    def holds(self, value: Any) -> bool:
        """Whether a value came in the message."""
        args, kwargs = self.outline()
        return any(each is value for each in (*args, *kwargs.values()))

    def made_on(self, rows: Mapping[Reference, Any]) -> dict[int, Any]:
        """Return what the outline's objects are on fetched rows, by the ids of those objects.

        They may have been made from a stand-in, and are made anew, from the row itself.
        """
        self.outline()
        if not self._objects:
            return {}
        found = [rows.get(each, each) for each in self.references()]
        made = _objects_in(*self._decode(found), found)
        return {id(old): new for old, new in zip(self._objects, made, strict=True)}

    def sent(self) -> Arguments:
        """Return args and kwargs as they were sent, with references in place."""
        frame = self.frame()
        if isinstance(self.error, InvalidMessage):
            raise self.error
        return self._decode(all_from_wire(frame.wire[: frame.fetch]))

    def peek(self) -> Arguments:
        """Return args and kwargs for texts about them, with references in place.

        Fails for nothing, and imports nothing of the user's.
        """
        if self._peeked is None:
            try:
                frame, found = self.frame(), self.references()
                if isinstance(self.error, InvalidMessage):
                    raise self.error
                args, kwargs = self.decoder.peek(frame.call, found, frame.mark)
                if frame.this is not None:
                    kwargs = {THIS: found[frame.this], **kwargs}
                self._peeked = list(args), dict(kwargs)
            except Exception:  # a display must not fail
                self._peeked = [_UNREADABLE], {}
        return self._peeked

    def is_running(self, task: Any) -> bool:
        """Whether ``task`` is running this call."""
        if task is None:
            return False
        request = task.request
        return (
            getattr(request.args, "call", None) is self
            or getattr(request.kwargs, "call", None) is self
        )

    def failed_with(self, error: BaseException) -> bool:
        """Tell whether the call's rows could not be fetched because of this very error."""
        return self.error is error

    def check(self) -> None:
        """Raise why the arguments could not be had, if so.

        Not once the task has failed for it: looking at them then is no second failure.
        """
        # Celery reports it in on_failure while it handles it.
        if self.error is not None and not self.has_failed and sys.exc_info()[1] is not self.error:
            raise self.error

    def _decode(self, rows: Sequence[Any]) -> Arguments:
        frame = self.frame()
        try:
            args, kwargs = self.decoder.decode(frame.call, rows, frame.mark)
            args, kwargs = list(args), dict(kwargs)
        except INTERRUPTS:
            raise
        except Exception as error:
            raise unreadable("arguments", self.decoder, error) from (
                error if self.decoder.is_signed else None
            )
        if frame.this is not None:
            kwargs[THIS] = [*rows][frame.this]  # without taking it, for which see _Handed
        return args, kwargs


def _objects_in(args: list[Any], kwargs: dict[str, Any], rows: Iterable[Any]) -> list[Any]:
    """Return the objects in arguments that may hold rows, in the order in which they came.

    Lists, tuples and dicts are none: rows take their places in them as they are, changed by
    a hook perhaps. Nor is any of ``rows``, or what stands for them.
    """
    found: list[Any] = []
    besides = set(map(id, rows))
    for value in (*args, *kwargs.values()):
        try:
            found += _objects(value, besides)
        except (RecursionError, _Whole):
            found.append(value)
    return found


class _Whole(Exception):
    """A value is made anew as a whole: it has objects in a set, or rows as keys, say."""


def _objects(value: Any, besides: set[int]) -> list[Any]:
    kind = type(value)
    if kind in references.LEAVES or id(value) in besides:
        return []
    if kind is list or kind is tuple:
        return [found for part in value for found in _objects(part, besides)]
    if isinstance(value, dict):
        if not all(type(key) in references.LEAVES for key in value):
            raise _Whole
        return [found for part in value.values() for found in _objects(part, besides)]
    if kind is not set and kind is not frozenset:
        return [value]
    if any(_objects(part, besides) for part in value):
        raise _Whole  # in an order that is not the same each time
    return []


def alone(reference: Reference) -> Reference:
    """Return the reference of one row where a bulk's message has but one."""
    if isinstance(reference, QuerySetReference) and len(reference.pks) == 1:
        return reference.each()[0]
    return reference


def unreadable(what: str, decoder: Decoder, error: Exception) -> InvalidMessage:
    """Return the error for a part of a message that its format cannot decode."""
    if isinstance(error, InvalidMessage):
        return error
    # What parsers say quotes what they parse, and errors end up in logs.
    reason = f"{type(error).__name__}: {error}" if decoder.is_signed else type(error).__name__
    return InvalidMessage(
        f"The {what} of a message cannot be read: {reason}. Either the message was damaged on "
        "its way, or this process lacks a class that it holds."
    )
