"""The relay: sends messages that are due, and those that their sender could not send."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from celery import current_app
from django.db import Error, connections
from django.db.models import Q
from django.utils import timezone

from ..django_api.databases import in_atomic
from ..results.messages import RECORD
from .claims import COLUMNS, Claim, ClaimedRecord, claimed, has_due
from .databases import databases
from .messages import Message
from .models import State, TaskRecord
from .publishing import backoff, chunk_size, is_refusal, publish
from .querysets import change
from .tables import TableMissing

logger = logging.getLogger("cereal_methods")

#: How long to wait before retrying a record that this process cannot send.
_POSTPONED: Final = timedelta(seconds=60)

#: How late an overdue record is, and how often to look for overdue records, in seconds.
_OVERDUE: Final = 60.0

#: How long to wait before using an unavailable database again, in seconds.
_UNAVAILABLE: Final = 5.0

#: How long to wait if the database has no table of records, in seconds.
_TABLE_MISSING: Final = 60.0


class Relay:
    """Sends messages that are due, from some databases or from all that have records."""

    def __init__(self, app: Any, using: Sequence[str] | None = None) -> None:
        self._app = app
        self._using = using
        #: When a database that was unavailable is used again.
        self._resume_at: dict[str, float] = {}
        self._checked_at = time.monotonic()

    def tick(self) -> int:
        """Send all messages that are due now, and return their number.

        Errors of a database and of the broker are logged, and the messages are sent later.
        """
        number = 0
        for using in self._available_databases():
            if backoff.is_active():
                break
            try:
                number += self.send_due(using)
            except Error as error:
                self._suspend(using, error)
        if time.monotonic() - self._checked_at >= _OVERDUE:
            self._checked_at = time.monotonic()
            self._report_overdue()
        return number

    def send_due(self, using: str) -> int:
        """Send the messages of a database that are due. Raises the errors of the database."""
        number = 0
        if not has_due(using):
            return number
        limit = chunk_size(self._app)
        while True:
            with claimed(using, limit) as claim:
                is_last = len(claim.records) < limit
                number += self._send(claim)
            if is_last or backoff.is_active():
                return number

    def _send(self, claim: Claim) -> int:
        """Send claimed messages, and return their number."""
        self._postpone_unknown(claim)
        messages, invalid = _messages_of(claim.records, claim.using)
        for record, error in invalid:
            text = f"The message of this record cannot be read: {error}. Cancel the record."
            _postpone(claim, [record], text)
        if not messages:
            return 0
        try:
            publish(self._app, messages)
        except Exception as error:
            if is_refusal(self._app, error):
                return self._send_each(claim, messages)
            backoff.start(error, len(messages))
            claim.release()
            return 0
        backoff.stop()
        return len(messages)

    def _send_each(self, claim: Claim, messages: Sequence[Message]) -> int:
        """Send messages one by one, and postpone refused ones. Return the number of sent ones."""
        by_id = {record.id: record for record in claim.records}
        refused: dict[str, list[ClaimedRecord]] = {}
        for number, message in enumerate(messages):
            try:
                publish(self._app, [message])
            except Exception as error:
                if not is_refusal(self._app, error):
                    backoff.start(error, len(messages) - number)
                    claim.release()
                    return 0
                text = f"The message was refused: {type(error).__name__}: {error}"
                refused.setdefault(text, []).append(by_id[message.id])
        for text, records in refused.items():
            _postpone(claim, records, text)
        return len(messages) - sum(map(len, refused.values()))

    def _postpone_unknown(self, claim: Claim) -> None:
        """Postpone the records of tasks that are not registered in this process."""
        registered = self._app.tasks
        for name in {record.task for record in claim.records if record.task not in registered}:
            _postpone(
                claim,
                [record for record in claim.records if record.task == name],
                f"There is no task {name!r} here. If its method was renamed, give it its former "
                "name with aliases=; if it was removed, cancel this record.",
            )

    def _available_databases(self) -> list[str]:
        now = time.monotonic()
        aliases = databases() if self._using is None else self._using
        return [alias for alias in aliases if self._resume_at.get(alias, 0.0) <= now]

    def _suspend(self, using: str, error: Error) -> None:
        """Do not use a database for a while, because it has raised an error."""
        pause = _TABLE_MISSING if isinstance(error, TableMissing) else _UNAVAILABLE
        self._resume_at[using] = time.monotonic() + pause
        logger.warning("Durable tasks of the database %r cannot be sent now: %s", using, error)
        connection = connections[using]
        if not in_atomic(connection):
            connection.close()

    def _report_overdue(self) -> None:
        """Log an error for each database that has records which should have been sent."""
        for using in self._available_databases():
            try:
                number = TaskRecord.objects.using(using).unsent(_OVERDUE).count()
            except Error as error:
                self._suspend(using, error)
                continue
            if number:
                logger.error(
                    "%d durable task%s of the database %r should have been sent a minute ago. "
                    "Check that the broker answers, and read their errors with manage.py "
                    "task_records.",
                    number,
                    "" if number == 1 else "s",
                    using,
                )


def resend(using: str, sent_for: timedelta) -> int:
    """Send again what was sent so long ago and has not ended; return the number of records.

    Use it after the broker has lost messages. A task whose message was not lost still runs once.
    A running method that started later than that is skipped, because on SQLite, and behind a pooler
    of sessions, no lock shows whether its worker is alive.
    """
    until = timezone.now() - sent_for
    # A method may be running before its message is marked as sent.
    is_sent = Q(state=State.SENT, sent_at__lte=until)
    is_running = Q(state=State.RUNNING, started_at__lte=until)
    records = (
        TaskRecord._base_manager.using(using).filter(is_sent | is_running).exclude(envelope="")
    )
    number = change(records, {"state": State.WAITING, "send_at": timezone.now()})
    return number + _resend_done(using, until)


def _resend_done(using: str, until: datetime) -> int:
    """Send again the messages of done tasks whose next steps may not have been sent.

    The record of such a task keeps its message until the next steps are sent. A worker that
    receives the message hands on the recorded result.
    """
    app: Any = current_app
    records = (
        TaskRecord._base_manager.using(using)
        .filter(state=State.DONE, ended_at__lte=until)
        .exclude(envelope="")
        .order_by("pk")
    )
    number, last, limit = 0, "", chunk_size(app)
    while rows := list(records.filter(pk__gt=last).values_list(*COLUMNS)[:limit]):
        claim = Claim(using, rows)
        last = claim.records[-1].id
        messages, _ = _messages_of(claim.records, using)
        try:
            if messages:
                publish(app, messages)
        except Exception as error:
            backoff.start(error, len(messages))
            break
        number += len(messages)
    return number


def _messages_of(
    records: Sequence[ClaimedRecord], using: str
) -> tuple[list[Message], list[tuple[ClaimedRecord, Exception]]]:
    """Return the messages of records, and the records whose message is not valid."""
    invalid: list[tuple[ClaimedRecord, Exception]] = []
    try:
        messages = Message.all_of([(record.envelope, record.body) for record in records])
    except (TypeError, ValueError) as error:
        if len(records) == 1:
            return [], [(records[0], error)]
        messages = []
        for record in records:
            valid, wrong = _messages_of([record], using)
            messages += valid
            invalid += wrong
        return messages, invalid
    for message, record in zip(messages, records, strict=True):
        message.headers[RECORD] = [using, record.turn]
    return messages, invalid


def _postpone(claim: Claim, records: Sequence[ClaimedRecord], text: str) -> None:
    logger.error("%d durable tasks cannot be sent: %s", len(records), text)
    claim.postpone(records, text, timezone.now() + _POSTPONED)
