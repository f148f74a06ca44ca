"""A message's arguments, which are fetched when, and only when, they are unpacked.

Celery's worker decodes every message in its consumer and again in its pool, and
an exception in a decoder loses the message. So decoding fetches nothing and
fails for nothing: it returns containers that resolve at ``fun(*args, **kwargs)``
in ``celery.app.trace``, inside the task's own ``try``. There a row that is gone
is a failure like any other, with state, errbacks, ``on_failure`` and log.

The containers hold the message's bytes until then. They pickle as those bytes
(the prefork pool pickles them), and show themselves to ``repr`` and to JSON
(``celery inspect``, ``result_extended``) with references as ``<shop.Order 5>``,
without a query.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol, TypeAlias, cast

from celery._state import get_current_task
from celery.exceptions import SoftTimeLimitExceeded

from . import references
from .exceptions import InvalidMessage
from .hydration import fetch_all
from .policies import begin, fetch_for, policy_of
from .references import ModelReference, Reference, from_wire, is_rows

#: The keyword under which ``self`` travels.
THIS: Final = references.THIS

#: What a message carries beside its arguments when it is part of no canvas.
NO_EMBED: Final[Mapping[str, Any]] = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))

Arguments: TypeAlias = tuple[Sequence[Any], dict[str, Any]]

# Raised in the middle of decoding, but not because of what is decoded.
_INTERRUPTS: Final = (MemoryError, SoftTimeLimitExceeded)


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


class Call:
    """The arguments of one message, which its containers share.

    It holds the body as it came, and takes it apart when the first of them is asked
    for something: the consumer, which only passes it on, does not.
    """

    __slots__ = ("_error", "_frame", "_outline", "_values", "body", "decoder")

    def __init__(self, decoder: Decoder, body: Any, error: Exception | None = None) -> None:
        self.decoder = decoder
        self.body = body
        self._error = error
        self._frame: Frame | None = None
        self._values: Arguments | None = None
        self._outline: Arguments | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, (self.decoder, self.body, self._error)

    def frame(self) -> Frame:
        """Return the parts of the body; a body that cannot be read has none, and fails the call."""
        if self._frame is None:
            try:
                self._frame = self.decoder.read(self.body)
            except InvalidMessage as error:
                self._frame = Frame()
                self._error = error
        return self._frame

    def break_off(self, error: InvalidMessage) -> None:
        """Make the call fail with ``error`` in the worker, before its task begins."""
        self._error = error

    def references(self) -> list[Reference]:
        """Return the references of the arguments."""
        frame = self.frame()
        return list(map(from_wire, frame.wire[: frame.fetch]))

    def outline(self) -> Arguments:
        """Return args and kwargs with their references in place. Runs no query."""
        if self._outline is None:
            references = self.references()
            if isinstance(self._error, InvalidMessage):
                raise self._error
            self._outline = self._decode(references)
        return self._outline

    def values(self, task: Any = None) -> Arguments:
        """Return args and kwargs with fresh instances, fetched once.

        ``task`` is the Celery task that runs, if the caller knows it: to ask Celery for it
        takes a microsecond. Raises the model's ``DoesNotExist`` for a row that is gone, and again
        whenever it is called. Only while that very error is being handled, as
        in ``on_failure`` and error reporters, do the references stand in for
        the instances, so that looking at the arguments is no second failure.
        """
        if self._values is None:
            frame = self.frame()
            if self._error is not None:
                if sys.exc_info()[1] is self._error:
                    return self.outline()
                raise self._error
            if frame.fetch == 0:
                self._values = self.outline()
            else:
                try:
                    task = get_current_task() if task is None else task
                    self._values = self._decode(self._fetch(task))
                except Exception as error:
                    self._error = error
                    raise
        return self._values

    def _fetch(self, task: Any) -> list[Any]:
        rows = fetch_for(task, self.references())
        begin(task)
        return rows

    def is_pending(self, task: Any) -> bool:
        """Whether the task is yet to fetch its own row or rows, in a way of its own."""
        if self._values is not None:
            return False
        frame = self.frame()
        if frame.this is None or self._error is not None:
            return False
        return is_rows(frame.wire[frame.this]) or policy_of(task).fetches_self

    def own(self) -> Reference:
        """Return the reference of ``self``, or of all of them."""
        frame = self.frame()
        return from_wire(frame.wire[frame.this or 0])

    def settle(self, row: Any, reference: ModelReference) -> Arguments:
        """Return args and kwargs without ``self``, with ``row`` wherever it is referenced."""
        references = self.references()
        references[self.frame().this or 0] = reference
        return self._take(fetch_all(references, {reference: row}))

    def others(self) -> Arguments:
        """Return args and kwargs without ``self``, with fresh instances."""
        references = self.references()
        place = self.frame().this or 0
        rows = fetch_all([*references[:place], *references[place + 1 :]])
        return self._take([*rows[:place], references[place], *rows[place:]])

    def _take(self, rows: Sequence[Any]) -> Arguments:
        args, kwargs = self._values = self._decode(rows)
        return args, {key: value for key, value in kwargs.items() if key != THIS}

    def fail(self, error: Exception) -> None:
        """Remember why the call's rows could not be fetched."""
        if self._values is None and self._error is None:
            self._error = error

    def failed_with(self, error: BaseException) -> bool:
        """Tell whether the call's rows could not be fetched because of this very error."""
        return self._error is error

    def known(self) -> Arguments:
        """Return the values if they were fetched already, else the outline."""
        return self._values if self._values is not None else self.outline()

    def is_settled(self) -> bool:
        """Tell whether the instances are there."""
        return self._values is not None

    def forwarded(self) -> Arguments:
        """Return args and kwargs for another message, with references in place.

        Data that cannot be made from references (a bound method, say) comes with the
        instances that were fetched.
        """
        try:
            return self.outline()
        except InvalidMessage:
            if self._values is None:
                raise
            return self._values

    def peek(self) -> Arguments:
        """Return args and kwargs for texts about them, with references in place.

        Fails for nothing, and imports nothing of the user's.
        """
        try:
            frame, references = self.frame(), self.references()
            if isinstance(self._error, InvalidMessage):
                raise self._error
            args, kwargs = self.decoder.peek(frame.call, references, frame.mark)
            if frame.this is not None:
                kwargs = {THIS: references[frame.this], **kwargs}
            return list(args), dict(kwargs)
        except Exception:  # a display must not fail
            return ["<unreadable message>"], {}

    def shown(self) -> tuple[list[Any], dict[str, Any]]:
        """Return args and kwargs for display, with references as their ``repr``."""
        try:
            args, kwargs = self.peek()
            return _display(args), _display(kwargs)
        except Exception:  # the same
            return ["<unreadable message>"], {}

    def _decode(self, rows: Sequence[Any]) -> Arguments:
        frame = self.frame()
        try:
            args, kwargs = self.decoder.decode(frame.call, rows, frame.mark)
            kwargs = dict(kwargs)
        except _INTERRUPTS:
            raise
        except Exception as error:
            raise unreadable("arguments", self.decoder, error) from (
                error if self.decoder.is_signed else None
            )
        if frame.this is not None:
            kwargs[THIS] = rows[frame.this]
        return args, kwargs


class Pending:
    """Stands for ``self`` in a call whose task fetches its own row, and then the others.

    Such a call is unpacked as this alone: no other row may be fetched before the own
    one is locked, or it would be stale by the time that the lock is there.
    """

    __slots__ = ("call", "reference")

    def __init__(self, call: Call, reference: Reference) -> None:
        self.call = call
        self.reference = reference

    def __repr__(self) -> str:
        return repr(self.reference)

    @property
    def own(self) -> ModelReference:
        """The reference, where it is one row's."""
        return cast("ModelReference", self.reference)

    def settle(self, row: Any) -> Arguments:
        """Return the other arguments, fetched now; ``row`` is what was fetched for ``self``."""
        return self.call.settle(row, self.own)


class LazyArgs(Sequence[Any]):
    """The positional arguments of a call: a sequence that fetches when it is read."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    def __iter__(self) -> Iterator[Any]:
        if self.call.is_settled():
            return iter(self.call.values()[0])
        task = get_current_task()
        if self.call.is_pending(task):
            return iter(())
        # Monitors that wrap tasks read the arguments before the task is there, where nothing
        # could be fetched as the task wants it (Sentry does, in the pool, for its sampler).
        return iter(self.call.outline()[0] if task is None else self.call.values(task)[0])

    def __getitem__(self, index: Any) -> Any:
        return self.call.values()[0][index]

    def __len__(self) -> int:
        return len(self.call.known()[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyArgs, (self.call,)

    @property
    def serializer(self) -> str:
        """The name of the serializer that the message came in."""
        return self.call.decoder.name

    def peek(self) -> Sequence[Any]:
        """Return a list for texts about it, which holds references."""
        return self.call.peek()[0]

    @property
    def is_unread(self) -> bool:
        """Whether nothing of it was fetched yet."""
        return not self.call.is_settled()

    def plainly(self, *, references: bool) -> list[Any]:
        """Return a list that holds references, or else their text. Runs no query."""
        return list(self.call.forwarded()[0]) if references else self.call.shown()[0]

    def __json__(self) -> list[Any]:
        return self.plainly(references=False)

    def __repr__(self) -> str:
        return repr(tuple(self.call.shown()[0]))

    __sentry_repr__ = __repr__


class LazyKwargs(Mapping[str, Any]):
    """The keyword arguments of a call: a mapping that fetches when a value is read."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    def __getitem__(self, key: str) -> Any:
        if key == THIS and self.is_unread and self.call.is_pending(get_current_task()):
            return Pending(self.call, self.call.own())
        return self.call.values()[1][key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.call.known()[1])

    def keys(self) -> KeysView[str]:
        """Return the names, for a call: Python asks for them before any value."""
        task = get_current_task()
        if self.call.is_pending(task):
            return {THIS: None}.keys()
        return self.call.values(task)[1].keys()

    def __contains__(self, key: object) -> bool:
        return key in self.call.known()[1]

    def __len__(self) -> int:
        return len(self.call.known()[1])

    def copy(self) -> dict[str, Any]:
        """Return the fetched arguments as a dict."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyKwargs, (self.call,)

    @property
    def is_unread(self) -> bool:
        """Whether nothing of it was fetched yet."""
        return not self.call.is_settled()

    def plainly(self, *, references: bool) -> dict[str, Any]:
        """Return a dict that holds references, or else their text. Runs no query."""
        return dict(self.call.forwarded()[1]) if references else self.call.shown()[1]

    def peek(self) -> dict[str, Any]:
        """Return a dict for texts about it, which holds references."""
        return self.call.peek()[1]

    @property
    def own(self) -> Reference | None:
        """The reference of ``self``, or of all of them, if the call has one."""
        return None if self.call.frame().this is None else self.call.own()

    def __json__(self) -> dict[str, Any]:
        return self.plainly(references=False)

    def __repr__(self) -> str:
        return repr(self.call.shown()[1])

    __sentry_repr__ = __repr__  # Sentry reads the items of mappings that have none


class LazyEmbed(Mapping[str, Any]):
    """The signatures that a message embeds (link, chain, chord), unread until needed.

    The consumer has no use for them, and their references stay references: they
    are only forwarded. Celery reads them outside of the task's ``try``, so one
    that cannot be read makes the call fail there, where it leaves a state.
    """

    __slots__ = ("_value", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self._value: Mapping[str, Any] | None = None

    def _read(self) -> Mapping[str, Any]:
        if self._value is None:
            frame = self.call.frame()
            try:
                if frame.embed is None:
                    embed: Any = NO_EMBED
                else:
                    rows = list(map(from_wire, frame.wire))
                    embed = self.call.decoder.decode(frame.embed, rows, frame.mark)
                if not (isinstance(embed, dict) and embed.keys() <= NO_EMBED.keys()):
                    raise InvalidMessage("The message embeds something that is no canvas.")
                self._value = {**NO_EMBED, **embed}
            except _INTERRUPTS:
                raise
            except Exception as error:
                self.call.break_off(unreadable("embedded signatures", self.call.decoder, error))
                self._value = NO_EMBED
        return self._value

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyEmbed, (self.call,)

    def plainly(self, *, references: bool) -> dict[str, Any]:
        """Return a dict that holds references, or else their text. Runs no query."""
        embed = dict(self._read())
        return embed if references else _display(embed)

    def __json__(self) -> dict[str, Any]:
        return self.plainly(references=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


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


def _display(value: Any) -> Any:
    """Return ``value`` as JSON can show it: what JSON does not know as its ``repr``."""
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int:
        # Python writes no longer ones in decimals, see sys.set_int_max_str_digits.
        return value if value.bit_length() < 2048 else hex(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_display(item) for item in value]
    if isinstance(value, dict):
        return {str(_display(key)): _display(item) for key, item in value.items()}
    return repr(value)
