"""Claiming records that are due, so that one relay at a time sends a message."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import Error, connections, transaction
from django.db.models import F
from django.utils import timezone

from .marks import mark
from .models import State, TaskRecord
from .querysets import change
from .tables import table_errors

logger = logging.getLogger("cereal_methods")

#: How long a claim lasts. Then another relay may claim the records.
LEASE: Final = timedelta(seconds=30)

#: The columns of a record that a relay reads.
COLUMNS: Final = ("id", "turn", "task", "envelope", "body")

#: Do not wait for the disk: if the server forgets that a message was sent, it is sent again, which
#: is harmless. If the relay hangs, the server ends its session and releases its locks.
_SET_UP: Final = (
    "SELECT set_config('synchronous_commit', 'off', true), "
    f"set_config('idle_in_transaction_session_timeout', '{LEASE.total_seconds():.0f}s', true)"
)


@dataclass(slots=True)
class ClaimedRecord:
    """A record whose message this relay sends."""

    id: str
    turn: int
    task: str
    envelope: str
    body: Any


class Claim:
    """The records that a relay has claimed on a database."""

    def __init__(self, using: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self.using = using
        self.records = [ClaimedRecord(*row) for row in rows]
        #: Whether the messages were not sent.
        self.is_released = False

    def release(self) -> None:
        """Leave the records to the next claim, because their messages could not be sent."""
        self.is_released = True

    def postpone(self, records: Sequence[ClaimedRecord], error: str, until: datetime) -> None:
        """Send some of the records later, and store the reason."""
        postponed = {record.id for record in records}
        self.records = [record for record in self.records if record.id not in postponed]
        TaskRecord._base_manager.using(self.using).filter(pk__in=postponed).update(
            state=State.WAITING, sent_at=None, send_at=until, error=error
        )


def has_due(using: str) -> bool:
    """Whether a record is due. The query locks nothing and writes nothing."""
    try:
        return bool(_due(using, timezone.now()).exists())
    except Error as error:
        raise table_errors(error, using) from error


@contextmanager
def claimed(using: str, limit: int) -> Iterator[Claim]:
    """Claim records that are due, for a block that sends their messages.

    When the block ends, the records are marked as sent, unless it has called ``release()`` or has
    raised an exception.
    """
    is_postgresql = connections[using].vendor == "postgresql"
    claim_records = _claimed_in_transaction if is_postgresql else _claimed_with_lease
    try:
        with claim_records(using, limit) as claim:
            yield claim
    except Error as error:
        raise table_errors(error, using) from error


@contextmanager
def _claimed_in_transaction(using: str, limit: int) -> Iterator[Claim]:
    """Mark the records as sent, and commit when their messages were sent.

    A worker that receives a message before the commit waits for the lock of the record. If the
    relay dies, the server rolls back at once.
    """
    table = connections[using].ops.quote_name(TaskRecord._meta.db_table)
    now = timezone.now()
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute(_SET_UP)
            cursor.execute(
                f"UPDATE {table} SET state = 'sent', sent_at = %s WHERE id IN ("  # noqa: S608
                f"SELECT id FROM {table} WHERE state = 'waiting' AND send_at <= %s "
                "ORDER BY send_at LIMIT %s FOR UPDATE SKIP LOCKED) "
                f"RETURNING {', '.join(COLUMNS)}",
                [now, now, limit],
            )
            claim = Claim(using, cursor.fetchall())
        yield claim
        if claim.is_released:
            transaction.set_rollback(True, using=using)


@contextmanager
def _claimed_with_lease(using: str, limit: int) -> Iterator[Claim]:
    """Postpone the records until the lease ends, and mark them when their messages were sent.

    The broker is not called inside a transaction: MariaDB would not end it if the relay hung, and
    SQLite would lock the whole database.
    """
    claim = Claim(using, _lease(using, timezone.now(), limit))
    yield claim
    ids = [record.id for record in claim.records]
    if claim.is_released:
        records = TaskRecord._base_manager.using(using).filter(pk__in=ids, state=State.WAITING)
        change(records, {"send_at": timezone.now()})
        return
    for turn in {record.turn for record in claim.records}:
        mark(using, [record.id for record in claim.records if record.turn == turn], turn)


def _lease(using: str, now: datetime, limit: int) -> list[tuple[Any, ...]]:
    due = _due(using, now)
    features: Any = connections[using].features
    with transaction.atomic(using=using):
        if features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        elif not features.has_select_for_update:
            # SQLite locks the database, and a transaction that reads first may not write later.
            due.filter(pk="").update(send_at=F("send_at"))
        rows = list(due.values_list(*COLUMNS)[:limit])
        claimed_rows = TaskRecord._base_manager.using(using).filter(pk__in=[row[0] for row in rows])
        claimed_rows.update(send_at=now + LEASE)
    return rows


def _due(using: str, now: datetime) -> Any:
    records = TaskRecord._base_manager.using(using)
    return records.filter(state=State.WAITING, send_at__lte=now).order_by("send_at")
