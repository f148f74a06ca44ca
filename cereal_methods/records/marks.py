"""Marking records as sent: a single one at once, and those of a burst with one statement."""

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

#: The longest pause between two messages of a burst, in seconds.
BURST: Final = 0.1

#: How many messages of a burst are marked together, and how many seconds the first of them may
#: wait. A relay sends unmarked messages again, which is harmless but should be rare.
MOST: Final = 50
LONGEST: Final = 0.25


def mark_sent(using: str, messages: Sequence[Message]) -> None:
    """Mark messages as sent, now or together with the next messages of a burst.

    The first message of a burst is marked at once, and so is one that is sent by itself.
    """
    connection = transaction.get_connection(using)
    marks = _marks.get(connection)
    if marks is None:
        marks = _marks[connection] = _Marks(using)
    marks.add(messages, is_in_transaction=in_atomic(connection))


def mark_all(**kwargs: Any) -> None:
    """Mark the messages that this thread has sent and not marked. Opens no connection.

    Called when a request, a Celery task or the process ends, because the next message may be sent
    much later.
    """
    for connection in open_connections() if _marks else ():
        marks = _marks.get(connection)
        # In a transaction the records would be locked until it ends.
        if marks is not None and session_of(connection) and not in_atomic(connection):
            marks.write()


def mark(using: str, ids: Sequence[str], turn: int) -> None:
    """Mark records as sent, unless a worker has taken them."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        records = TaskRecord._base_manager.using(using).filter(
            pk__in=ids, turn=turn, state=State.WAITING
        )
        change(records, {"state": State.SENT, "sent_at": timezone.now()})
        return
    table = connection.ops.quote_name(TaskRecord._meta.db_table)
    with connection.cursor() as cursor:
        # Skip the records that a worker has locked. Do not wait for the disk either: if the server
        # loses the mark, the messages are sent once more, which is harmless.
        cursor.execute(
            # By ctid, because a join by id is slow while the planner has no statistics.
            f"UPDATE {table} SET state = 'sent', sent_at = %s WHERE ctid = ANY(ARRAY("  # noqa: S608
            f"SELECT ctid FROM {table} WHERE id = ANY(%s) AND state = 'waiting' AND turn = %s "
            "AND set_config('synchronous_commit', 'off', true) = 'off' FOR UPDATE SKIP LOCKED))",
            [timezone.now(), list(ids), turn],
        )


class _Marks:
    """The messages that were sent for one connection and are not marked yet."""

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
            or is_in_transaction  # of a test case, which may read the record next
        ):
            self.write()
        self._last = time.monotonic()

    def write(self) -> None:
        """Mark all messages that were added. If this fails, the relay sends them once more."""
        waiting, self._ids, self._number = self._ids, {}, 0
        try:
            for turn, ids in waiting.items():
                mark(self._using, ids, turn)
        except Exception as error:
            logger.warning("Durable tasks were sent, but could not be marked as sent: %s", error)


_marks: Final[WeakKeyDictionary[Any, _Marks]] = WeakKeyDictionary()

atexit.register(mark_all)
