"""Recording durable tasks, with their messages, in the caller's transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from celery import uuid
from django.utils import timezone

from ..exceptions import InvalidModelTask
from ..results.messages import CRASHES, ENDED, RECORD, RETURNED
from .current import current
from .databases import database_of
from .fields import LONGEST_ID
from .inserting import NewRecord, insert
from .messages import Message, capture_message
from .moments import due, expiry
from .outboxes import send_on_commit
from .querysets import row_of

if TYPE_CHECKING:
    from .bulks import Collector

#: How long workers wait for the process that recorded a message to send it.
GRACE: Final = timedelta(seconds=1)

#: The first turn of a task that replaces another one and has its id.
_NESTED: Final = 1_000_000


@dataclass(slots=True)
class PreparedTask:
    """A task's record and message, before the record is inserted and the message is sent."""

    record: NewRecord
    message: Message
    result: Any
    #: Whether the commit sends the message. Otherwise the relay sends it later.
    is_due: bool
    #: What the body was encoded from, and by which serializer.
    call: Any
    serializer: str


@dataclass(frozen=True, slots=True)
class Sending:
    """A call of ``apply_async`` for a durable task."""

    #: The ``apply_async`` of the task's class, bound to the task.
    publish: Callable[..., Any]
    task: Any
    args: Any
    kwargs: Any
    options: dict[str, Any]

    def prepare(self, **changes: Any) -> PreparedTask:
        """Return the record and the message. Nothing is inserted or sent yet."""
        options = {**self.options, **changes}
        return prepare(self.publish, self.task, self.args, self.kwargs, options)


def send(
    publish: Callable[..., Any], task: Any, args: Any, kwargs: Any, options: dict[str, Any]
) -> Any:
    """Record a task in the caller's transaction, to be sent on commit; return its result."""
    run = current.get()
    is_following = run is not None and options.get("task_id") == run.delivery.id
    if run is not None and is_following and run.is_unavailable:
        return publish(args, kwargs, **options)
    using, reference = database_of(task, kwargs)
    if run is not None and is_following:
        using = run.delivery.using
    sending = Sending(publish, task, args, kwargs, options)
    prepared = sending.prepare()
    prepared.record.model, prepared.record.row = row_of(reference)
    if run is not None and is_following:
        turn = run.taken.turn + 1
    else:  # a task that replaces another one may have its id, but not its turn
        turn = (prepared.message.headers.get("replaced_task_nesting") or 0) * _NESTED
    prepared.record.turn = turn
    prepared.message.headers[RECORD] = [using, turn]
    collector: Collector | None = getattr(_collecting, "collector", None)
    if run is not None and is_following:
        run.following = prepared
    elif collector is not None:
        collector.collect(using, sending, prepared)
    else:
        insert(using, [prepared.record])
        if prepared.is_due:
            send_on_commit(task.app, using, [prepared.message])
    return prepared.result


def prepare(
    publish: Callable[..., Any], task: Any, args: Any, kwargs: Any, options: dict[str, Any]
) -> PreparedTask:
    """Return a task's record and message. Nothing is inserted or sent yet."""
    task_id = options.get("task_id") or uuid()
    if not isinstance(task_id, str) or len(task_id) > LONGEST_ID:
        raise InvalidModelTask(
            f"{task.name} is durable: its task_id must be a string of at most {LONGEST_ID} "
            "characters.",
            task.name,
        )
    now = timezone.now()
    send_at, expires_at = due(task, options), expiry(task, options)
    # With ignore_result Celery does not subscribe to the result, which needs the result backend.
    # The worker obeys the header, which has the true value.
    headers = dict(options.get("headers") or {})
    ignored = options.get("ignore_result", task.ignore_result)
    is_stored = not headers.setdefault("ignore_result", ignored)  # a retry repeats the header
    for name in (CRASHES, ENDED, RETURNED):  # headers of the message that a retry repeats
        headers.pop(name, None)
    options.update(task_id=task_id, headers=headers, ignore_result=True, retry=False)
    for name in ("producer", "connection"):
        options.pop(name, None)
    result, capture, message = capture_message(publish, args, kwargs, **options)
    if hasattr(result, "ignored"):
        result.ignored = not is_stored
    is_due = send_at is None or send_at <= now
    record = NewRecord(
        id=task_id,
        task=message.headers["task"],
        created_at=now,
        send_at=now + GRACE if send_at is None or is_due else send_at,
        expires_at=expires_at,
        envelope=message.envelope(),
        body=message.body,
    )
    return PreparedTask(record, message, result, is_due, capture.call, capture.serializer)


@contextmanager
def collecting(collector: Collector) -> Iterator[None]:
    """Pass the durable tasks that this thread sends in the block to a collector."""
    before = getattr(_collecting, "collector", None)
    _collecting.collector = collector
    try:
        yield
    finally:
        _collecting.collector = before


_collecting: Final = threading.local()
