"""Recording a bulk: all of its records or none, many with one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.utils import timezone

from ..rows.reference import THIS, Reference
from .inserting import NewRecord, insert
from .outboxes import HELD, send_on_commit
from .sending import GRACE, collecting
from .templates import Template

if TYPE_CHECKING:
    from .messages import Message
    from .sending import PreparedTask, Sending

#: How many records are inserted with one statement.
CHUNK: Final = 1000

#: How long workers wait for the process that records a large bulk, which sends the messages after
#: some seconds, when its transaction commits.
LONG_GRACE: Final = timedelta(seconds=10)


def send_rows(
    task: Any,
    rows: Iterable[tuple[str, Reference, str]],
    args: Any,
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    """Record a message for each row or batch, to be sent when the transaction commits.

    ``rows`` are the ids of the messages, their rows, and the texts of the arguments.
    ``apply_async`` makes the first message, which is the template of the others. If other code
    could treat two messages differently, ``apply_async`` makes all of them.
    """
    with _bulk(task) as bulk:
        for task_id, reference, own_text in rows:
            text = options.get("argsrepr", own_text)
            template = bulk.templates.get(reference.using)
            if template is not None:
                bulk.add(reference, template, task_id, text)
                continue
            with collecting(bulk):
                task.apply_async(
                    args,
                    {**kwargs, THIS: reference.as_plain()},
                    task_id=task_id,
                    **{**options, "argsrepr": text},
                )
            bulk.find_template(reference)


@contextmanager
def many(task: Any) -> Iterator[None]:
    """Record the tasks that a block sends, many with one statement; none if the block raises."""
    with _bulk(task) as bulk, collecting(bulk):
        yield


@contextmanager
def _bulk(task: Any) -> Iterator[_Bulk]:
    with ExitStack() as transactions:
        bulk = _Bulk(task, transactions)
        yield bulk
        bulk.write()


class _Pending:
    """The records of one database that are not inserted yet."""

    def __init__(self) -> None:
        self.records: list[NewRecord] = []
        #: The messages that the process sends after the commit, and their number so far.
        self.held: list[tuple[NewRecord, Message]] = []
        self.number = 0
        self.is_large = False


class Collector:
    """Collects the tasks that are sent during a block."""

    def collect(self, using: str, sending: Sending, prepared: PreparedTask) -> None:
        """Take a task's record and its message."""
        raise NotImplementedError


class _Bulk(Collector):
    """The records and messages of a bulk, in a transaction on each of their databases."""

    def __init__(self, task: Any, transactions: ExitStack) -> None:
        self._task = task
        self._transactions = transactions
        self._pending: dict[str, _Pending] = {}
        self._last: tuple[str, Sending, PreparedTask] | None = None
        #: The template of each database, or None if the database has none.
        self.templates: dict[str, Template | None] = {}

    def collect(self, using: str, sending: Sending, prepared: PreparedTask) -> None:
        """Take a record and a message that ``apply_async`` has made."""
        self._last = using, sending, prepared
        self._hold(self._pending_of(using), prepared, prepared.record, prepared.message)

    def add(self, reference: Reference, template: Template, task_id: str, text: str) -> None:
        """Add a record and a message that a template makes."""
        pending = self._pending_of(reference.using)
        record = template.record(task_id, reference, text)
        is_held = template.prepared.is_due and pending.number < HELD
        message = template.message(record, text) if is_held else None
        self._hold(pending, template.prepared, record, message)

    def find_template(self, reference: Reference) -> None:
        """Find out whether the last message is a template for others of its database."""
        using = reference.using
        if using in self.templates or self._last is None or self._last[0] != using:
            return
        _, sending, prepared = self._last
        self.templates[using] = Template.of(sending, prepared, reference)

    def write(self) -> None:
        """Insert the remaining records."""
        for using, pending in self._pending.items():
            self._insert(using, pending)

    def _pending_of(self, using: str) -> _Pending:
        pending = self._pending.get(using)
        if pending is None:
            self._transactions.enter_context(transaction.atomic(using=using))
            pending = self._pending[using] = _Pending()
        elif len(pending.records) >= CHUNK:
            pending.is_large = True
            self._insert(using, pending)
        return pending

    def _hold(
        self, pending: _Pending, prepared: PreparedTask, record: NewRecord, message: Message | None
    ) -> None:
        pending.records.append(record)
        if prepared.is_due and message is not None and pending.number < HELD:
            pending.held.append((record, message))
            pending.number += 1
        elif prepared.is_due:
            record.send_at = record.created_at  # workers send it as soon as it is committed

    def _insert(self, using: str, pending: _Pending) -> None:
        records, pending.records = pending.records, []
        held, pending.held = pending.held, []
        send_at = timezone.now() + (LONG_GRACE if pending.is_large else GRACE)
        for record, _ in held:
            record.send_at = send_at
        if records:
            insert(using, records)
        if held:
            send_on_commit(self._task.app, using, [message for _, message in held])
