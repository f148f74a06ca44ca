"""The relay: it sends what is due, and what the process that recorded it could not send."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import Error, connections, transaction
from django.db.models import F
from django.utils import timezone

from ..django_api.databases import in_atomic
from ..results.messages import RECORD
from .databases import databases
from .messages import Message
from .models import State, TaskRecord
from .outboxes import mark
from .publishing import CHUNK, patience, publish
from .querysets import change
from .tables import TableMissing, table_errors

logger = logging.getLogger("cereal_methods")

#: For how long records are a relay's that has claimed them; after that another may.
LEASE: Final = timedelta(seconds=30)

#: When a record is looked at again whose task this process does not have.
_UNKNOWN: Final = timedelta(seconds=60)

#: How often it is looked for records that wait unsent, and how long they do then, in seconds.
_OVERDUE: Final = 60.0

#: For how long a database is left alone that cannot be asked, in seconds.
_PAUSE: Final = 5.0

_COLUMNS: Final = ("id", "turn", "task", "envelope", "body")


@dataclass(slots=True)
class _Claimed:
    """A record that this relay sends."""

    id: str
    turn: int
    task: str
    envelope: str
    body: Any


class Relay:
    """Sends what is due, from one database or from all that have records."""

    def __init__(self, app: Any, using: Sequence[str] | None = None) -> None:
        self._app = app
        self._using = using
        self._away: dict[str, float] = {}
        self._looked_at = time.monotonic()

    def tick(self) -> int:
        """Send all that is due now, and return how many messages that were.

        What goes wrong with a database or the broker is logged, and tried again later.
        """
        number = 0
        for using in databases() if self._using is None else self._using:
            if self._away.get(using, 0.0) > time.monotonic() or patience.is_out():
                continue
            try:
                number += self.send_due(using)
            except Error as error:
                self._leave(using, error)
        if time.monotonic() - self._looked_at >= _OVERDUE:
            self._looked_at = time.monotonic()
            self._warn()
        return number

    def send_due(self, using: str) -> int:
        """Send what is due on a database. Raises what the database raises."""
        number = 0
        while True:
            claimed = claim(using, CHUNK)
            number += self._send(using, claimed)
            if len(claimed) < CHUNK or patience.is_out():
                return number

    def _send(self, using: str, claimed: Sequence[_Claimed]) -> int:
        known = [record for record in claimed if record.task in self._app.tasks]
        if len(known) < len(claimed):
            _put_aside(using, [record for record in claimed if record.task not in self._app.tasks])
        if not known:
            return 0
        try:
            publish(self._app, [_message_of(record, using) for record in known])
        except Exception as error:
            patience.lose(error, len(known))
            release(using, [record.id for record in known])
            return 0
        patience.restore()
        for turn in {record.turn for record in known}:
            mark(using, [record.id for record in known if record.turn == turn], turn)
        return len(known)

    def _leave(self, using: str, error: Error) -> None:
        pause = _UNKNOWN.total_seconds() if isinstance(error, TableMissing) else _PAUSE
        self._away[using] = time.monotonic() + pause
        logger.warning("Durable tasks of the database %r are not sent now: %s", using, error)
        connection = connections[using]
        if not in_atomic(connection):
            connection.close()

    def _warn(self) -> None:
        for using in databases() if self._using is None else self._using:
            if self._away.get(using, 0.0) > time.monotonic():
                continue
            try:
                number = TaskRecord.objects.using(using).unsent(_OVERDUE).count()
            except Error as error:
                self._leave(using, error)
                continue
            if number:
                logger.error(
                    "%d durable task%s of the database %r should have been sent a minute ago. Look "
                    "whether the broker answers, and at their errors with manage.py task_records.",
                    number,
                    "" if number == 1 else "s",
                    using,
                )


def claim(using: str, limit: int) -> list[_Claimed]:
    """Return records that are due, which no other relay sends before the lease ends."""
    try:
        claim_rows = _claim_on_postgresql if _has_returning(using) else _claim
        return [_Claimed(*row) for row in claim_rows(using, timezone.now(), limit)]
    except Error as error:
        raise table_errors(error, using) from error


def release(using: str, ids: Sequence[str]) -> None:
    """Let claimed records be due again."""
    found = TaskRecord._base_manager.using(using).filter(pk__in=ids, state=State.WAITING)
    try:
        change(found, {"send_at": timezone.now()})
    except Error as error:  # the lease ends by itself
        logger.warning("Durable tasks wait for the end of a lease: %s", error)


def resend(using: str, sent_for: timedelta) -> int:
    """Let what was sent so long ago, and has not ended, be sent again; return how many.

    For a broker that has lost what it held. What it has not lost runs once nevertheless.
    """
    until = timezone.now() - sent_for
    found = (
        TaskRecord._base_manager.using(using)
        .filter(state__in=(State.SENT, State.RUNNING), sent_at__lte=until)
        .exclude(envelope="")
    )
    return change(found, {"state": State.WAITING, "send_at": timezone.now()})


def _has_returning(using: str) -> bool:
    return bool(connections[using].vendor == "postgresql")


def _claim_on_postgresql(using: str, now: datetime, limit: int) -> list[tuple[Any, ...]]:
    connection = connections[using]
    table = connection.ops.quote_name(TaskRecord._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET send_at = %s WHERE id IN ("  # noqa: S608  (names of this module's)
            f"SELECT id FROM {table} WHERE state = 'waiting' AND send_at <= %s "
            # Its loss, with the server's, would do no harm.
            "AND set_config('synchronous_commit', 'off', true) = 'off' "
            f"ORDER BY send_at LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING {', '.join(_COLUMNS)}",
            [now + LEASE, now, limit],
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _claim(using: str, now: datetime, limit: int) -> list[tuple[Any, ...]]:
    records = TaskRecord._base_manager.using(using)
    due = records.filter(state=State.WAITING, send_at__lte=now).order_by("send_at")
    if not due.exists():  # which writes nothing, and locks nothing
        return []
    features: Any = connections[using].features
    with transaction.atomic(using=using):
        if features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True)
        elif not features.has_select_for_update:
            # Its lock is the database's: a transaction that reads first may not write later.
            due.filter(pk="").update(send_at=F("send_at"))
        found = list(due.values_list(*_COLUMNS)[:limit])
        records.filter(pk__in=[row[0] for row in found]).update(send_at=now + LEASE)
    return found


def _message_of(record: _Claimed, using: str) -> Message:
    message = Message.of(record.envelope, record.body)
    message.headers[RECORD] = [using, record.turn]
    return message


def _put_aside(using: str, records: Sequence[_Claimed]) -> None:
    """Note that this process does not have the tasks of some records."""
    for name in {record.task for record in records}:
        ids = [record.id for record in records if record.task == name]
        text = (
            f"There is no task {name!r} here. If its method was renamed, give it its former name "
            "with aliases=; if it is gone for good, cancel this record."
        )
        logger.error("%d durable tasks cannot be sent: %s", len(ids), text)
        found = TaskRecord._base_manager.using(using).filter(pk__in=ids, state=State.WAITING)
        change(found, {"error": text, "send_at": timezone.now() + _UNKNOWN})
