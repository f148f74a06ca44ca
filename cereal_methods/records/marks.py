"""Marking what was sent: one message at once, and many of a burst with one statement."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from django.db import connections, transaction
from django.utils import timezone

from ..django_api.databases import in_atomic, open_connections, session_of
from .models import State, TaskRecord
from .querysets import change

if TYPE_CHECKING:
    from .messages import Message

logger = logging.getLogger("cereal_methods")

#: Messages that are sent with less time between them are a burst, in seconds.
BURST: Final = 0.1

#: How many messages of a burst are marked together, and how long the first of them waits for it,
#: in seconds. Relays send again what was not marked in time, which is harmless and to be rare.
MOST: Final = 50
LONGEST: Final = 0.25


def mark_sent(using: str, messages: Sequence[Message]) -> None:
    """Mark messages as sent, now or with the next of a burst.

    The first message of a burst is marked at once, and so is what a process sends now and then.
    """
    connection = transaction.get_connection(using)
    marks = _marks.get(connection)
    if marks is None:
        marks = _marks[connection] = _Marks(using)
    marks.add(messages, is_in_transaction=in_atomic(connection))


def mark_all(**kwargs: Any) -> None:
    """Mark what this thread has sent and not marked yet. It opens no connection.

    It is called when a request, a Celery task or the process ends: nothing may follow for long.
    """
    for connection in open_connections() if _marks else ():
        marks = _marks.get(connection)
        # In a transaction the lock of the records would last until it ends.
        if marks is not None and session_of(connection) and not in_atomic(connection):
            marks.write()


def mark(using: str, ids: Sequence[str], turn: int) -> None:
    """Mark records as sent, unless they have been taken since."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        records = TaskRecord._base_manager.using(using).filter(
            pk__in=ids, turn=turn, state=State.WAITING
        )
        change(records, {"state": State.SENT, "sent_at": timezone.now()})
        return
    table = connection.ops.quote_name(TaskRecord._meta.db_table)
    with connection.cursor() as cursor:
        # A worker that runs one of the tasks holds its record: it is not waited for. Nor is the
        # disk: if the server loses the mark, the tasks are sent once more, which is harmless.
        cursor.execute(
            # By their places: a join by id is slow where the planner knows too little of the table.
            f"UPDATE {table} SET state = 'sent', sent_at = %s WHERE ctid = ANY(ARRAY("  # noqa: S608
            f"SELECT ctid FROM {table} WHERE id = ANY(%s) AND state = 'waiting' AND turn = %s "
            "AND set_config('synchronous_commit', 'off', true) = 'off' FOR UPDATE SKIP LOCKED))",
            [timezone.now(), list(ids), turn],
        )


class _Marks:
    """What was sent by one connection's thread and is not marked yet."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._ids: dict[int, list[str]] = {}
        self._number = 0
        self._since = self._last = 0.0

    def add(self, messages: Sequence[Message], *, is_in_transaction: bool) -> None:
        """Add messages that were sent, and mark all if it is time."""
        if not self._number:
            self._since = time.monotonic()
        for message in messages:
            self._ids.setdefault(message.turn, []).append(message.id)
        self._number += len(messages)
        now = time.monotonic()
        if (
            now - self._last > BURST
            or self._number >= MOST
            or now - self._since > LONGEST
            or is_in_transaction  # of a test case, which may ask for it next
        ):
            self.write()
        self._last = time.monotonic()

    def write(self) -> None:
        """Mark all that was added; if that fails, the relay sends it once more."""
        waiting, self._ids, self._number = self._ids, {}, 0
        try:
            for turn, ids in waiting.items():
                mark(self._using, ids, turn)
        except Exception as error:
            logger.warning("Durable tasks were sent, and could not be marked as sent: %s", error)


_marks: Final[WeakKeyDictionary[Any, _Marks]] = WeakKeyDictionary()

atexit.register(mark_all)
