"""Celery apps whose messages are recorded instead of sent.

A message is taken where Celery hands it to the producer of its broker: routed, with all headers,
and encoded by its serializer. A worker would receive the same message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..celery_api.backends import (
    replace_attribute,
    replace_backend,
    replace_message_functions,
    replace_setting,
)
from ..celery_api.kombu import CapturingProducer
from ..exceptions import RecordingError
from ..running import durability
from .backend import RecordedResults
from .messages import SentTask

if TYPE_CHECKING:
    from kombu import Message


class Recorder(Protocol):
    """Records the messages of an app."""

    def before_message(self) -> None:
        """Do what has to come before a message."""

    def take(self, sent: SentTask[Any]) -> None:
        """Record a message."""


_lock: Final = threading.RLock()
_recordings: Final[dict[int, Recording]] = {}


class Recording:
    """An app that is being recorded, with a result backend in memory and without a broker."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.recorders: list[Recorder] = []
        self.revoked: set[str] = set()
        self.revoked_stamps: dict[str, list[Any]] = {}
        self._countdowns: dict[str, float | None] = {}

    @classmethod
    def join(cls, app: Any, recorder: Recorder) -> Recording:
        """Add a recorder to an app's recording; the first recorder starts it."""
        with _lock:
            recording = _recordings.get(id(app))
            if recording is None:
                recording = cls(app)
                recording._start()
                _recordings[id(app)] = recording
            recording.recorders.append(recorder)
            return recording

    def leave(self, recorder: Recorder) -> None:
        """Remove a recorder; the last one ends the recording."""
        with _lock:
            self.recorders.remove(recorder)
            if not self.recorders:
                del _recordings[id(self.app)]
                self._end()

    def _start(self) -> None:
        app = self.app
        self._replaced = [
            replace_setting(app, "task_always_eager", False),
            durability.turn_off(app),
            replace_message_functions(app, self._create, self._send),
            replace_attribute(app.control, "broadcast", self._control),
            replace_backend(app, RecordedResults(app)),
        ]

    def _end(self) -> None:
        for put_back in self._replaced:
            put_back()

    def _create(
        self,
        create: Callable[..., Any],
        task_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        # A message contains the time, not the countdown.
        self._countdowns[task_id] = rest[0] if rest else more.get("countdown")
        return create(task_id, name, args, kwargs, *rest, **more)

    def _send(
        self, send: Callable[..., Any], producer: Any, name: str, message: Any, **options: Any
    ) -> Any:
        if "task" not in message.headers:
            raise RecordingError(
                f"{name} is sent by message protocol 1, which cannot be recorded. Remove "
                "CELERY_TASK_PROTOCOL from the settings. The default is protocol 2.",
                name,
            )
        for recorder in list(self.recorders):
            recorder.before_message()
        return send(_Publisher(self, producer), name, message, **options)

    def publish(self, message: Message, queue: str) -> None:
        """Pass a message to the recorders."""
        countdown = self._countdowns.pop(message.headers["id"], None)
        sent: SentTask[Any] = SentTask(self.app, message, queue, countdown)
        for recorder in list(self.recorders):
            recorder.take(sent)

    def _control(self, command: str, arguments: Any = None, **options: Any) -> Any:
        """Remember the tasks that a broadcast revokes. No worker replies."""
        if command == "revoke":
            ids = arguments["task_id"]
            self.revoked.update([ids] if isinstance(ids, str) else ids)
        elif command == "revoke_by_stamped_headers":
            for stamp, values in arguments["headers"].items():
                self.revoked_stamps.setdefault(stamp, []).extend(
                    values if isinstance(values, (list, tuple)) else [values]
                )
        return [] if options.get("reply") else None


class _Publisher(CapturingProducer):
    """Replaces the broker's producer, and passes messages to a recording."""

    def __init__(self, recording: Recording, producer: Any) -> None:
        super().__init__(producer)
        self._recording = recording

    def capture(self, message: Message, queue: str) -> None:
        """Pass a message on, unless it is Celery's event that a task was sent."""
        if "task" in message.headers:
            self._recording.publish(message, queue)
