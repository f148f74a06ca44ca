"""A message's call: its body, which is decoded when its arguments are first read."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..exceptions import InvalidMessage
from ..rows.container import ArgumentContainer
from ..rows.fetch import fetch
from ..rows.reference import THIS, QuerySetReference, Reference, single_row
from ..rows.wire import reference_from_wire, references_from_wire
from .frame import INTERRUPTS, Arguments, Decoder, Frame, unreadable_error
from .objects import objects_in

_UNREADABLE: Final = "<unreadable message>"


class _Rows(list[Any]):
    """The rows that a decoder may use. ``were_used`` tells whether it has used one."""

    were_used = False

    def __getitem__(self, place: Any) -> Any:
        self.were_used = True
        return super().__getitem__(place)


#: Args and kwargs as they are read before the task's function begins, whether they name rows other
#: than ``self``, and the objects among them that may hold lazy rows. A plain tuple, because a
#: message is decoded in ten microseconds and a named one takes a tenth of that.
_Decoded: TypeAlias = tuple[Arguments, bool, Sequence[Any]]


class Call:
    """The call of one message, which its containers share.

    It holds the body as it came. The consumer passes it on and does not decode it.
    """

    __slots__ = ("_decoded", "_frame", "_safe_view", "body", "decoder", "error", "has_failed")

    def __init__(self, decoder: Decoder, body: Any, error: Exception | None = None) -> None:
        self.decoder = decoder
        self.body = body
        #: Why the arguments or their rows are not available.
        self.error = error
        #: Whether the task has failed with that error.
        self.has_failed = False
        self._frame: Frame | None = None
        self._decoded: _Decoded | None = None
        self._safe_view: Arguments | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Call, (self.decoder, self.body, self.error)

    def frame(self) -> Frame:
        """Return the parts of the body. If it cannot be read, set ``error``, and they are empty."""
        if self._frame is None:
            try:
                self._frame = self.decoder.read(self.body)
            except InvalidMessage as error:
                self._frame = Frame()
                self.error = error
        return self._frame

    def _readable_frame(self) -> Frame:
        frame = self.frame()
        if isinstance(self.error, InvalidMessage):
            raise self.error
        return frame

    def fail_with(self, error: InvalidMessage) -> None:
        """Make the task fail with ``error`` when it unpacks its arguments."""
        self.error = error

    def references(self) -> list[Reference]:
        """Return the references of the arguments, in the order of the table.

        Raises ``InvalidMessage`` if one of them is malformed.
        """
        frame = self.frame()
        references = references_from_wire(frame.wire[: frame.fetch])
        if frame.this is not None:
            references[frame.this] = single_row(references[frame.this])
        return references

    def own_reference(self) -> Reference | None:
        """Return the reference of ``self``, or of a batch's rows, or None for other tasks."""
        frame = self.frame()
        if frame.this is None:
            return None
        return single_row(reference_from_wire(frame.wire[frame.this]))

    def lazy_arguments(self) -> Arguments:
        """Return args and kwargs with a lazy row for each row. Runs no query.

        If the message names no other row, ``self`` is a reference, which takes less time. So are
        the rows of a batch.

        Raises ``InvalidMessage`` if the message cannot be read.
        """
        return (self._decoded or self._decode_lazily())[0]

    def _decode_lazily(self) -> _Decoded:
        frame = self.frame()
        if isinstance(self.error, InvalidMessage):
            raise self.error
        references = self.references()
        if frame.fetch == 1 and frame.this == 0:  # as in most messages
            decoded = self._decode_with(references)
            if not decoded[1]:
                self._decoded = decoded
                return decoded
        rows: list[Any] = [reference.lazy(fetch) for reference in references]
        if frame.this is not None and isinstance(references[frame.this], QuerySetReference):
            rows[frame.this] = references[frame.this]
        arguments, names_rows, _ = self._decode_with(rows)
        objects = objects_in(*arguments, rows) if names_rows else ()
        self._decoded = arguments, names_rows, objects
        return self._decoded

    def resolve(self, rows: Mapping[Reference, Any]) -> bool:
        """Decode the arguments with fetched rows, and return whether that was possible.

        It is not if they were read before: what has been returned holds lazy rows.
        """
        if self._decoded is not None:
            return False
        self._decoded = self._decode_with([rows[reference] for reference in self.references()])
        return True

    def _decode_with(self, values: Sequence[Any]) -> _Decoded:
        rows = _Rows(values)
        try:
            return self._decode(rows), rows.were_used, ()
        except InvalidMessage as error:
            self.error = error
            raise

    def names_rows(self) -> bool:
        """Whether the arguments name rows other than ``self``."""
        _, names_rows, _ = self._decoded or self._decode_lazily()
        return names_rows

    def holds(self, value: Any) -> bool:
        """Whether an argument of the message is this very object."""
        args, kwargs = self.lazy_arguments()
        return any(argument is value for argument in (*args, *kwargs.values()))

    def rebuilt_on(self, rows: Mapping[Reference, Any]) -> dict[int, Any]:
        """Return the objects among the arguments, decoded again with fetched rows.

        The keys are the ids of the objects with lazy rows, which they replace. An object may
        have used the rows while it was unpickled, so replacing those in it is not enough.
        """
        _, _, before = self._decoded or self._decode_lazily()
        if not before:
            return {}
        values = [rows.get(reference, reference) for reference in self.references()]
        after = objects_in(*self._decode(values), values)
        return {id(old): new for old, new in zip(before, after, strict=True)}

    def sent_arguments(self) -> Arguments:
        """Return args and kwargs as they were sent, with references in place of rows.

        Raises ``InvalidMessage`` if the message cannot be read.
        """
        frame = self._readable_frame()
        return self._decode(references_from_wire(frame.wire[: frame.fetch]))

    def safe_view(self) -> Arguments:
        """Return args and kwargs for logs and monitors, with references in place of rows.

        Never fails, and imports no class of the user's.
        """
        if self._safe_view is None:
            try:
                frame, references = self._readable_frame(), self.references()
                args, kwargs = self.decoder.safe_view(frame.call, references, frame.mark)
                if frame.this is not None:
                    kwargs = {THIS: references[frame.this], **kwargs}
                self._safe_view = list(args), dict(kwargs)
            except Exception:  # a log or a monitor must not fail
                self._safe_view = [_UNREADABLE], {}
        return self._safe_view

    def is_running(self, task: Any) -> bool:
        """Whether ``task``, or None, is running this call."""
        if task is None:
            return False
        request = task.request
        return (isinstance(request.args, ArgumentContainer) and request.args.call is self) or (
            isinstance(request.kwargs, ArgumentContainer) and request.kwargs.call is self
        )

    def failed_with(self, error: BaseException) -> bool:
        """Whether the arguments or their rows are not available because of this very error."""
        return self.error is error

    def check(self) -> None:
        """Raise the error for which the arguments or their rows are not available, if any.

        Reading them after the task has failed with it does not raise it again.
        """
        # While Celery handles the error it calls on_failure, which may read the arguments.
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
            raise unreadable_error("arguments", self.decoder, error) from (
                error if self.decoder.is_signed else None
            )
        if frame.this is not None:
            kwargs[THIS] = [*rows][frame.this]  # does not count as a use: see _Rows
        return args, kwargs
