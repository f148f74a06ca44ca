"""What a test asks: which tasks were sent, and to run them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from celery import current_app

from ..exceptions import RecordingError
from . import running
from .calls import Expected
from .commits import Commits
from .messages import SentTask
from .recordings import Recording

if TYPE_CHECKING:
    from celery import Celery, Task

    from ..bound import BoundModelTask

P = ParamSpec("P")
R = TypeVar("R")

#: How many messages an assertion lists.
_LISTED: Final = 50


@contextmanager
def record_tasks(app: Celery | None = None, *, commit: bool = True) -> Iterator[RecordedTasks]:
    """Record what a block sends, in the place of sending it.

    Nothing of the app reaches a broker or a result backend meanwhile, from any thread;
    ``task_always_eager`` is off. Recorders may be nested: each has all that is sent in
    its block.

    In a ``TestCase`` what waits for a commit that would have been is run, such as
    ``delay_on_commit``: when the recorder is asked, when another task is sent, and at
    the end. ``commit=False`` leaves that to the test. ``app`` is the current app by
    default.
    """
    recorder = RecordedTasks(app, commit=commit)
    try:
        yield recorder
        recorder.come()
    finally:
        recorder.close()


class RecordedTasks(Sequence[SentTask[Any]]):
    """The tasks that were sent since its beginning, oldest first, as a sequence.

    Methods are named as ``order.ship``, which is that of one row, or as ``Order.ship``:
    that of any, or of the row that is the first argument. Celery tasks and names of
    tasks will do as well.
    """

    def __init__(self, app: Celery | None = None, *, commit: bool = True) -> None:
        self._app: Any = app or current_app._get_current_object()  # type: ignore[attr-defined]
        self._sent: list[SentTask[Any]] = []
        self._commits = Commits()
        self._commit = commit
        self._is_running = False
        self._recording: Recording | None = Recording.join(self._app, self)

    def close(self) -> None:
        """End the recording; what was recorded can still be looked at."""
        if self._recording is not None:
            self._recording.leave(self)
            self._recording = None

    def come(self) -> None:
        """Run what waits for a commit that would have been by now."""
        if self._commit and self._recording is not None:
            self._commits.come()

    def before_message(self) -> None:
        """Learn that a message will be sent: after those that wait for an earlier commit."""
        self.come()

    def take(self, sent: SentTask[Any]) -> None:
        """Learn of a message that was sent."""
        self._sent.append(sent)

    @overload
    def __getitem__(self, index: int) -> SentTask[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[SentTask[Any]]: ...

    def __getitem__(self, index: Any) -> Any:
        self.come()
        return self._sent[index]

    def __len__(self) -> int:
        self.come()
        return len(self._sent)

    def __iter__(self) -> Iterator[SentTask[Any]]:
        self.come()
        return iter(list(self._sent))

    def clear(self) -> None:
        """Forget what was sent so far."""
        self.come()
        self._sent.clear()

    @overload
    def of(self, method: BoundModelTask[..., R]) -> list[SentTask[R]]: ...

    @overload
    def of(self, method: Task[..., R]) -> list[SentTask[R]]: ...

    @overload
    def of(self, method: str) -> list[SentTask[Any]]: ...

    def of(self, method: Any) -> Any:
        """Return the messages of a method, or of it on one row, whatever their arguments."""
        expected = Expected.of(method)
        return [sent for sent in self if sent.is_of(expected)]

    @overload
    def assert_sent(self, method: BoundModelTask[..., R], /) -> SentTask[R]: ...

    @overload
    def assert_sent(
        self, method: BoundModelTask[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SentTask[R]: ...

    @overload
    def assert_sent(self, method: Task[..., R], /) -> SentTask[R]: ...

    @overload
    def assert_sent(
        self, method: Task[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> SentTask[R]: ...

    @overload
    def assert_sent(self, method: str, /, *args: Any, **kwargs: Any) -> SentTask[Any]: ...

    def assert_sent(self, method: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Assert that a task was sent, and return its first message.

        Without arguments: with any. With some: with these, by place or by name, and
        with the method's defaults. Instances are equal if they are the same row.
        """
        __tracebackhide__ = True
        expected = Expected.of(method, args, kwargs)
        for sent in self:
            if sent.is_of(expected):
                return sent
        raise AssertionError(f"{expected!r} was not sent. {self._told()}")

    @overload
    def assert_not_sent(self, method: BoundModelTask[..., Any], /) -> None: ...

    @overload
    def assert_not_sent(
        self, method: BoundModelTask[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...

    @overload
    def assert_not_sent(self, method: Task[..., Any], /) -> None: ...

    @overload
    def assert_not_sent(
        self, method: Task[P, Any], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...

    @overload
    def assert_not_sent(self, method: str, /, *args: Any, **kwargs: Any) -> None: ...

    def assert_not_sent(self, method: Any, /, *args: Any, **kwargs: Any) -> None:
        """Assert that a task was not sent: without arguments, not with any."""
        __tracebackhide__ = True
        expected = Expected.of(method, args, kwargs)
        if any(sent.is_of(expected) for sent in self):
            raise AssertionError(f"{expected!r} was sent. {self._told()}")

    def assert_num_sent(self, num: int, method: Any = None, /) -> None:
        """Assert that ``num`` messages were sent, in all or of a method."""
        __tracebackhide__ = True
        found = list(self) if method is None else self.of(method)
        if len(found) != num:
            of = "" if method is None else f" of {Expected.of(method)!r}"
            were = "1 message was" if len(found) == 1 else f"{len(found)} messages were"
            raise AssertionError(f"{were} sent{of}, {num} expected. {self._told()}")

    def run(
        self, *, propagate: bool = True, limit: int = 1000, elsewhere: Collection[str] = ()
    ) -> list[SentTask[Any]]:
        """Run what was sent as a worker would, and what that sends, until nothing is left.

        Each message is decoded by its serializer, its rows are fetched, its callbacks,
        errbacks, chain and chord follow, and so do its retries, without waiting for any
        countdown. It runs in this thread, in the transaction that the test is in.
        Returns the messages that ran, in order.

        When all is done, the first exception that a task has failed by is raised, unless
        ``propagate`` is false: then ask their results. ``elsewhere`` names tasks that
        other projects run. Raises ``RecordingError`` after ``limit`` messages, for a
        task that this process does not know, and when the recording is over.
        """
        recording = self._recording
        if recording is None:
            raise RecordingError(
                "The recording is over, and what its tasks send would go to the broker. Call "
                "run() inside of the with block."
            )
        if self._is_running:
            raise RecordingError(
                "A recorded task has called run() of the recorder that is running it. The tasks "
                "that it sends run after it."
            )
        ran: list[SentTask[Any]] = []
        failures: list[Exception] = []
        self._is_running = True
        try:
            while (sent := self._next(elsewhere)) is not None:
                if len(ran) >= limit:
                    raise RecordingError(
                        f"{limit:,} messages have run, and more are left: does a task send itself "
                        f"for ever? Next is {sent.describe()}. Most were of "
                        f"{_commonest(ran)}. If they are so many, call run(limit=...).",
                        sent,
                    )
                sent.has_run = True
                try:
                    failures.extend(running.run(sent, recording))
                except RecordingError:  # it has not
                    sent.has_run = False
                    raise
                ran.append(sent)
                self.come()
        finally:
            self._is_running = False
        if failures and propagate:
            raise failures[0]
        return ran

    def _next(self, elsewhere: Collection[str]) -> SentTask[Any] | None:
        waiting = (each for each in self if not each.has_run and each.name not in elsewhere)
        return next(waiting, None)

    def _told(self) -> str:
        """Return what was sent, in words."""
        told = "Nothing was sent."
        if self._sent:
            lines = [f"\n  {place}. {sent.describe()}" for place, sent in _numbered(self._sent)]
            more = len(self._sent) - len(lines)
            told = f"Sent were:{''.join(lines)}" + (f"\n  and {more} more" if more else "")
        if self._recording is not None:
            for alias, count in Counter(self._commits.waiting()).items():
                callbacks = "1 callback waits" if count == 1 else f"{count} callbacks wait"
                told += f"\n{callbacks} for a transaction in {alias!r} to commit."
        return told

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._sent!r}>"


def _numbered(sent: Iterable[SentTask[Any]]) -> list[tuple[int, SentTask[Any]]]:
    return list(zip(range(1, _LISTED + 1), sent, strict=False))


def _commonest(ran: Sequence[SentTask[Any]]) -> str:
    return Counter(sent.name for sent in ran).most_common(1)[0][0] if ran else "none"
