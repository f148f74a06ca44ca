"""The recorder, which tells a test what was sent, and runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from ..celery_api.tasks import get_current_app
from ..exceptions import RecordingError
from . import running
from .commits import Commits
from .expected import Expected
from .messages import SentTask
from .recordings import Recording

if TYPE_CHECKING:
    from celery import Celery, Task

    from ..sending.bound import BoundModelTask

P = ParamSpec("P")
R = TypeVar("R")

#: How many messages an assertion lists.
_LISTED: Final = 50


@contextmanager
def record_tasks(app: Celery | None = None, *, commit: bool = True) -> Iterator[RecordedTasks]:
    """Record the tasks that a block sends, instead of sending them.

    Messages of all threads are recorded; none reaches a broker or a result backend, and
    ``task_always_eager`` is off. Recorders can be nested: each records what its block sends.

    - ``app``: the Celery app to record. By default the current app.
    - ``commit`` (bool): whether to run ``on_commit`` callbacks in a ``TestCase``, as soon as only
      the test's own transaction is open. They run when the recorder is used, when another task is
      sent, and at the end of the block.
    """
    recorder = RecordedTasks(app, commit=commit)
    try:
        yield recorder
        recorder.run_commit_callbacks()
    finally:
        recorder.close()


class RecordedTasks(Sequence[SentTask[Any]]):
    """A sequence of the tasks that were sent, oldest first.

    Its methods take ``order.ship`` for the method of one row, ``Order.ship`` for that of any
    row (or of the row that is the first argument), a Celery task, or the name of a task (str).
    They raise ``RecordingError`` for anything else.
    """

    def __init__(self, app: Celery | None = None, *, commit: bool = True) -> None:
        self._app: Any = app or get_current_app()
        self._sent: list[SentTask[Any]] = []
        self._commits = Commits()
        self._commit = commit
        self._is_running = False
        self._recording: Recording | None = Recording.join(self._app, self)

    def close(self) -> None:
        """End the recording. The messages can still be inspected."""
        if self._recording is not None:
            self._recording.leave(self)
            self._recording = None

    def run_commit_callbacks(self) -> None:
        """Run the ``on_commit`` callbacks whose transaction would have committed."""
        if self._commit and self._recording is not None:
            self._commits.run_callbacks()

    def before_message(self) -> None:
        """Run pending ``on_commit`` callbacks before a message is recorded."""
        self.run_commit_callbacks()

    def take(self, sent: SentTask[Any]) -> None:
        """Record a message."""
        self._sent.append(sent)

    @overload
    def __getitem__(self, index: int) -> SentTask[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[SentTask[Any]]: ...

    def __getitem__(self, index: Any) -> Any:
        self.run_commit_callbacks()
        return self._sent[index]

    def __len__(self) -> int:
        self.run_commit_callbacks()
        return len(self._sent)

    def __iter__(self) -> Iterator[SentTask[Any]]:
        self.run_commit_callbacks()
        return iter(list(self._sent))

    def clear(self) -> None:
        """Forget the messages so far."""
        self.run_commit_callbacks()
        self._sent.clear()

    @overload
    def of(self, method: BoundModelTask[..., R]) -> list[SentTask[R]]: ...

    @overload
    def of(self, method: Task[..., R]) -> list[SentTask[R]]: ...

    @overload
    def of(self, method: str) -> list[SentTask[Any]]: ...

    def of(self, method: Any) -> Any:
        """Return the messages of a method or task, with any arguments."""
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

        Without arguments, any arguments match. Otherwise they are compared by parameter, with
        the method's defaults. Instances are equal if they are the same row. Raises
        ``AssertionError``, and ``TypeError`` for arguments that the method does not take.
        """
        __tracebackhide__ = True
        expected = Expected.of(method, args, kwargs)
        for sent in self:
            if sent.is_of(expected):
                return sent
        raise AssertionError(f"{expected!r} was not sent. {self._summary()}")

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
        """Assert that a task was not sent; without arguments, that it was not sent at all.

        Raises what ``assert_sent`` raises.
        """
        __tracebackhide__ = True
        expected = Expected.of(method, args, kwargs)
        if any(sent.is_of(expected) for sent in self):
            raise AssertionError(f"{expected!r} was sent. {self._summary()}")

    def assert_num_sent(self, num: int, method: Any = None, /) -> None:
        """Assert that ``num`` messages were sent, in all or of one method or task.

        Raises ``AssertionError`` if it was another number.
        """
        __tracebackhide__ = True
        messages = list(self) if method is None else self.of(method)
        if len(messages) != num:
            of = "" if method is None else f" of {Expected.of(method)!r}"
            count = len(messages)
            sent = "1 message was" if count == 1 else f"{count} messages were"
            raise AssertionError(f"{sent} sent{of}, {num} expected. {self._summary()}")

    def run(
        self, *, propagate: bool = True, limit: int = 1000, elsewhere: Collection[str] = ()
    ) -> list[SentTask[Any]]:
        """Run the messages as a worker would, and what they send, until none is left.

        Each message is decoded by its serializer and its rows are fetched. Callbacks, errbacks,
        chains, chords and retries run too, without waiting for a countdown. Everything runs in
        this thread and in the test's transaction. Return the messages that ran, in order.

        - ``propagate`` (bool): whether to raise the first failure of a task, after all have run.
        - ``limit`` (int): the number of messages after which to raise ``RecordingError``.
        - ``elsewhere`` (list of str): the names of tasks that other projects run.

        Raises ``RecordingError`` for a task that this process does not know, for a serializer
        that workers do not accept, and after the recording has ended.
        """
        recording = self._recording
        if recording is None:
            raise RecordingError(
                "The recording has ended, so tasks would be sent to the broker. Call run() inside "
                "the with block."
            )
        if self._is_running:
            raise RecordingError(
                "A task called run() of the recorder that is running it. Remove the call: the "
                "tasks that it sends run after it."
            )
        ran: list[SentTask[Any]] = []
        failures: list[Exception] = []
        self._is_running = True
        try:
            while (sent := self._next(elsewhere)) is not None:
                if len(ran) >= limit:
                    raise RecordingError(
                        f"{limit:,} messages have run, and there are more. Does a task send itself "
                        f"without end? {_most_common(ran)}The next one is {sent.describe()}. To "
                        "run more messages, pass run(limit=...).",
                        sent,
                    )
                sent.has_run = True
                try:
                    failures.extend(running.run(sent, recording))
                except RecordingError:  # it has not run
                    sent.has_run = False
                    raise
                ran.append(sent)
                self.run_commit_callbacks()
        finally:
            self._is_running = False
        if failures and propagate:
            raise failures[0]
        return ran

    def _next(self, elsewhere: Collection[str]) -> SentTask[Any] | None:
        waiting = (sent for sent in self if not sent.has_run and sent.name not in elsewhere)
        return next(waiting, None)

    def _summary(self) -> str:
        """Return a text about what was sent, and what waits for a commit."""
        text = "Nothing was sent."
        if self._sent:
            lines = [f"\n  {place}. {sent.describe()}" for place, sent in _numbered(self._sent)]
            more = len(self._sent) - len(lines)
            text = f"Sent were:{''.join(lines)}" + (f"\n  and {more} more" if more else "")
        if self._recording is not None:
            for alias, count in Counter(self._commits.waiting()).items():
                callbacks = "1 callback waits" if count == 1 else f"{count} callbacks wait"
                text += f"\n{callbacks} for a transaction in {alias!r} to commit."
        return text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._sent!r}>"


def _numbered(sent: Iterable[SentTask[Any]]) -> list[tuple[int, SentTask[Any]]]:
    return list(zip(range(1, _LISTED + 1), sent, strict=False))


def _most_common(ran: Sequence[SentTask[Any]]) -> str:
    counts = Counter(sent.name for sent in ran).most_common(1)
    return "".join(f"Most of them were {name} ({count:,}). " for name, count in counts)
