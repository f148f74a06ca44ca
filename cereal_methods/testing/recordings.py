"""Celery apps that send nothing for a while, but hand their messages to recorders.

A message is taken where Celery gives it to its broker's producer: routed, with all
headers, and encoded by its serializer. It is what a worker would get.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

from kombu import Message, Producer

from ..exceptions import RecordingError
from .backend import RecordedResults
from .messages import SentTask


class Recorder(Protocol):
    """What wants to know of messages."""

    def before_message(self) -> None:
        """Learn that a message will be sent."""

    def take(self, sent: SentTask[Any]) -> None:
        """Learn of a message that was sent."""


_lock: Final = threading.RLock()
_recordings: Final[dict[int, Recording]] = {}


class Recording:
    """One app while it has recorders: with a backend in memory, and without a broker."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.recorders: list[Recorder] = []
        self.revoked: set[str] = set()
        self.revoked_stamps: dict[str, list[Any]] = {}
        self._countdowns: dict[str, float | None] = {}

    @classmethod
    def join(cls, app: Any, recorder: Recorder) -> Recording:
        """Add a recorder to an app's recording, which the first one begins."""
        with _lock:
            recording = _recordings.get(id(app))
            if recording is None:
                recording = cls(app)
                recording._begin()
                _recordings[id(app)] = recording
            recording.recorders.append(recorder)
            return recording

    def leave(self, recorder: Recorder) -> None:
        """Take a recorder out. The last one ends the recording."""
        with _lock:
            self.recorders.remove(recorder)
            if not self.recorders:
                del _recordings[id(self.app)]
                self._end()

    def _begin(self) -> None:
        app = self.app
        # Before 5.6 Celery reads Django's settings first, by their names with a prefix.
        changes, keys = app.conf.changes, app.conf._to_keys("task_always_eager")
        self._eager = {key: changes.get(key) for key in keys}
        changes.update(dict.fromkeys(keys, False))
        self._create = app.amqp.create_task_message
        self._send = app.amqp.send_task_message
        self._replaced = [
            _replace(app.amqp, "create_task_message", self._count_down),
            _replace(app.amqp, "send_task_message", self._record),
            _replace(app.control, "broadcast", self._control),
        ]
        self._backend = app._backend_cache
        app._backend_cache = RecordedResults(app)

    def _end(self) -> None:
        app = self.app
        for key, value in self._eager.items():
            if value is None:
                app.conf.changes.pop(key, None)
            else:
                app.conf.changes[key] = value
        app._backend_cache = self._backend
        for put_back in self._replaced:
            put_back()

    def _count_down(
        self, task_id: str, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **more: Any
    ) -> Any:
        # A message has the time that it means, and not the seconds.
        self._countdowns[task_id] = rest[0] if rest else more.get("countdown")
        return self._create(task_id, name, args, kwargs, *rest, **more)

    def _record(self, producer: Any, name: str, message: Any, **options: Any) -> Any:
        if "task" not in message.headers:
            raise RecordingError(
                f"{name} is sent by message protocol 1, which cannot be recorded. Remove "
                "CELERY_TASK_PROTOCOL from the settings: protocol 2 is Celery's default.",
                name,
            )
        for recorder in list(self.recorders):
            recorder.before_message()
        return self._send(_Publisher(self, producer), name, message, **options)

    def publish(self, message: Message, queue: str) -> None:
        """Hand a message to the recorders."""
        countdown = self._countdowns.pop(message.headers["id"], None)
        sent: SentTask[Any] = SentTask(self.app, message, queue, countdown)
        for recorder in list(self.recorders):
            recorder.take(sent)

    def _control(self, command: str, arguments: Any = None, **options: Any) -> Any:
        """Take what is broadcast to workers; there is none, so that none replies."""
        if command == "revoke":
            ids = arguments["task_id"]
            self.revoked.update([ids] if isinstance(ids, str) else ids)
        elif command == "revoke_by_stamped_headers":
            for stamp, values in arguments["headers"].items():
                self.revoked_stamps.setdefault(stamp, []).extend(
                    values if isinstance(values, (list, tuple)) else [values]
                )
        return [] if options.get("reply") else None


def _replace(owner: Any, name: str, value: Any) -> Callable[[], None]:
    """Set an attribute of one object, and return what takes it back."""
    before = vars(owner).get(name)
    setattr(owner, name, value)

    def put_back() -> None:
        if before is None:
            del vars(owner)[name]
        else:
            setattr(owner, name, before)

    return put_back


# Typed for what it takes in general; Celery hands it a part of that.
_Base: Any = Producer


class _Publisher(_Base):  # type: ignore[misc]
    """Stands for the producer of the broker: encodes a message and keeps it."""

    def __init__(self, recording: Recording, producer: Any) -> None:
        self._recording = recording
        self._producer = producer
        super().__init__(None)

    @property
    def connection(self) -> Any:
        # Celery asks it which errors are worth another try; it is not connected.
        return self._producer.connection

    def publish(self, body: Any, *, retry: bool = False, **options: Any) -> Any:
        """Encode a message as for the broker, and hand it to the recorders."""
        return super().publish(body, retry=False, **options)

    def _publish(
        self,
        body: Any,
        priority: int,
        content_type: str,
        content_encoding: str,
        headers: dict[str, Any],
        properties: dict[str, Any],
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        exchange: str,
        declare: Any,
        *rest: Any,
    ) -> None:
        if "task" not in headers:  # Celery's event that a task was sent
            return
        message = Message(
            body=_as_bytes(body, content_encoding),
            content_type=content_type,
            content_encoding=content_encoding,
            headers=headers,
            properties={**properties, "priority": priority},
            delivery_info={"exchange": exchange, "routing_key": routing_key},
        )
        queue = next((each.name for each in declare if hasattr(each, "routing_key")), routing_key)
        self._recording.publish(message, queue)


def _as_bytes(body: Any, encoding: str) -> Any:
    return body.encode(encoding) if isinstance(body, str) else body
