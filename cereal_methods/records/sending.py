"""Recording what is sent: in the caller's transaction, with the message that Celery has made."""

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
from ..results.messages import CRASHES, ENDED, RECORD
from .current import current
from .databases import database_of
from .fields import LONGEST_ID
from .inserting import NewRecord, insert
from .messages import Message, keep_message
from .moments import due, expiry
from .outboxes import send_on_commit
from .querysets import row_of

if TYPE_CHECKING:
    from .bulks import Collector

#: How long workers leave a message to the process that has recorded it.
GRACE: Final = timedelta(seconds=1)

#: The first turn of a task that replaces another under its id.
_NESTED: Final = 1_000_000


@dataclass(slots=True)
class Kept:
    """A task's record and message, before they are written and sent."""

    record: NewRecord
    message: Message
    result: Any
    #: Whether it is sent when its transaction commits. Otherwise the relay sends it later.
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

    def keep(self, **changes: Any) -> Kept:
        """Return the record and the message. Nothing is written or sent yet."""
        options = {**self.options, **changes}
        return keep(self.publish, self.task, self.args, self.kwargs, options)


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
    kept = sending.keep()
    kept.record.model, kept.record.row = row_of(reference)
    if run is not None and is_following:
        turn = run.taken.turn + 1
    else:  # a task that replaces another may have its id, and is told from it by the turn
        turn = (kept.message.headers.get("replaced_task_nesting") or 0) * _NESTED
    kept.record.turn = turn
    kept.message.headers[RECORD] = [using, turn]
    collector: Collector | None = getattr(_collecting, "collector", None)
    if run is not None and is_following:
        run.following = kept
    elif collector is not None:
        collector.collect(using, sending, kept)
    else:
        insert(using, [kept.record])
        if kept.is_due:
            send_on_commit(task.app, using, [kept.message])
    return kept.result


def keep(
    publish: Callable[..., Any], task: Any, args: Any, kwargs: Any, options: dict[str, Any]
) -> Kept:
    """Return a task's record and message. Nothing is written or sent yet."""
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
    is_kept = not headers.setdefault("ignore_result", ignored)  # a retry repeats the header
    for name in (CRASHES, ENDED):  # headers of the message that a retry repeats
        headers.pop(name, None)
    options.update(task_id=task_id, headers=headers, ignore_result=True, retry=False)
    for name in ("producer", "connection"):
        options.pop(name, None)
    result, keeper, message = keep_message(publish, args, kwargs, **options)
    if hasattr(result, "ignored"):
        result.ignored = not is_kept
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
    return Kept(record, message, result, is_due, keeper.call, keeper.serializer)


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
