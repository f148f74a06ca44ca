"""Recording what is sent: in the caller's transaction, with the message that Celery has made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from celery import uuid
from django.db import transaction
from django.utils import timezone

from ..exceptions import InvalidModelTask
from ..results.messages import CRASHES, ENDED, RECORD
from .current import current
from .databases import database_of
from .fields import LONGEST_ID
from .inserting import insert
from .messages import Message, kept_message
from .models import State, TaskRecord
from .moments import due, expiry
from .outboxes import send_on_commit
from .querysets import row_of

#: For how long workers leave a message to the process that recorded it.
GRACE: Final = timedelta(seconds=1)

#: The first turn of what has replaced a task.
_NESTED: Final = 1_000_000

#: How many records of a bulk are inserted with one statement.
CHUNK: Final = 1000


@dataclass(slots=True)
class Kept:
    """A task that is recorded, or will be, and its message."""

    record: TaskRecord
    message: Message
    result: Any
    #: Whether it is sent as soon as that is committed, and not by the relay later.
    is_due: bool


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
    kept = keep(publish, task, args, kwargs, options)
    kept.record.model, kept.record.row = row_of(reference)
    if run is not None and is_following:
        turn = run.taken.turn + 1
    else:  # what replaces a task may have its id, and is told from it by this
        turn = (kept.message.headers.get("replaced_task_nesting") or 0) * _NESTED
    kept.record.turn = turn
    kept.message.headers[RECORD] = [using, turn]
    many = getattr(_collecting, "many", None)
    if run is not None and is_following:
        run.following = kept
    elif many is not None:
        many.add(using, kept)
    else:
        insert(using, [kept.record])
        if kept.is_due:
            send_on_commit(task.app, using, [kept.message])
    return kept.result


def keep(
    publish: Callable[..., Any], task: Any, args: Any, kwargs: Any, options: dict[str, Any]
) -> Kept:
    """Return a task's record and message; nothing is recorded or sent yet."""
    task_id = options.get("task_id") or uuid()
    if not isinstance(task_id, str) or len(task_id) > LONGEST_ID:
        raise InvalidModelTask(
            f"{task.name} is durable: its task_id must be a string of at most {LONGEST_ID} "
            "characters.",
            task.name,
        )
    now = timezone.now()
    send_at, expires_at = due(task, options), expiry(task, options)
    # Celery would subscribe to the result now, whether its backend is there or not.
    headers = dict(options.get("headers") or {})
    ignored = options.get("ignore_result", task.ignore_result)
    is_kept = not headers.setdefault("ignore_result", ignored)  # a bulk says it so
    for name in (CRASHES, ENDED):  # of the message that a retry repeats
        headers.pop(name, None)
    options.update(task_id=task_id, headers=headers, ignore_result=True, retry=False)
    for name in ("producer", "connection"):
        options.pop(name, None)
    result, message = kept_message(publish, args, kwargs, **options)
    if hasattr(result, "ignored"):
        result.ignored = not is_kept
    is_due = send_at is None or send_at <= now
    record = TaskRecord(
        id=task_id,
        task=message.headers["task"],
        state=State.WAITING,
        created_at=now,
        # Workers leave it for a moment to this process, which sends it on commit.
        send_at=now + GRACE if is_due else send_at,
        expires_at=expires_at,
        envelope=message.envelope(),
        body=message.body,
    )
    return Kept(record, message, result, is_due)


class _Many:
    """What a bulk sends: many records with one statement, all in one transaction or none."""

    def __init__(self, task: Any, transactions: ExitStack) -> None:
        self._task = task
        self._transactions = transactions
        self._pending: dict[str, list[Kept]] = {}

    def add(self, using: str, kept: Kept) -> None:
        """Take a record; those before it are written when there are enough of them."""
        if using not in self._pending:
            self._transactions.enter_context(transaction.atomic(using=using))
        self._pending.setdefault(using, []).append(kept)
        if len(self._pending[using]) >= CHUNK:
            self._write(using)

    def write(self) -> None:
        """Write what is left."""
        for using in self._pending:
            self._write(using)

    def _write(self, using: str) -> None:
        pending, self._pending[using] = self._pending[using], []
        if not pending:
            return
        insert(using, [kept.record for kept in pending])
        messages = [kept.message for kept in pending if kept.is_due]
        if messages:
            send_on_commit(self._task.app, using, messages)


@contextmanager
def many(task: Any) -> Iterator[None]:
    """Record what the block sends with one statement for many; nothing of it if it raises."""
    before = getattr(_collecting, "many", None)
    try:
        with ExitStack() as transactions:
            _collecting.many = found = _Many(task, transactions)
            yield
            found.write()
    finally:
        _collecting.many = before


_collecting: Final = threading.local()
