"""Taking a record: the first statement of a durable task's transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from django.db import Error, connections, transaction
from django.db.models import F
from django.utils import timezone

from . import inserting
from .models import State, TaskRecord
from .querysets import change
from .tables import table_errors

if TYPE_CHECKING:
    from types import TracebackType

    from .deliveries import Delivery

#: The columns that are read when a record is taken.
_COLUMNS: Final = (
    "state",
    "turn",
    "attempts",
    "crashes",
    "expires_at",
    "result",
    "error",
    "started_at",
)


@dataclass(slots=True)
class Taken:
    """What a record says when a message of its task arrives."""

    state: str = State.SENT
    turn: int = 0
    attempts: int = 0
    crashes: int = 0
    expires_at: datetime | None = None
    result: Any = None
    error: str = ""
    started_at: datetime | None = None
    #: Whether another worker is running the task.
    is_elsewhere: bool = False
    #: Whether the message has a record that was deleted.
    is_missing: bool = False
    #: Whether the message had no record, so one was inserted.
    is_new: bool = False


class Opened:
    """An open transaction, which ends when this context manager exits."""

    def __init__(self, using: str) -> None:
        self._atomic = transaction.atomic(using=using)
        self._atomic.__enter__()

    def take(self, delivery: Delivery) -> Taken:
        """Take a record as its first statement; an error ends the transaction."""
        try:
            return take(delivery)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._atomic.__exit__(kind, error, traceback)


def take(delivery: Delivery) -> Taken:
    """Lock a task's record until the transaction ends, and return what it says.

    If the message has no record, as from ``send_task``, one is inserted. Raises ``TableMissing``
    if the database has no table.
    """
    connection = connections[delivery.using]
    select = _select_on_postgresql if connection.vendor == "postgresql" else _select
    try:
        if not connection.features.has_select_for_update:
            # SQLite: a transaction that has read cannot write after another one has written.
            _of(delivery).update(started_at=timezone.now())
        taken = select(connection, delivery)
        if (
            taken is None
            and connection.vendor == "postgresql"
            and not _is_free(connection, delivery)
        ):
            return Taken(State.RUNNING, is_elsewhere=True)
        if taken is None and delivery.turn is not None:
            return Taken(is_missing=True)
        if taken is None:
            insert(delivery)
            taken = select(connection, delivery)
            if taken is not None:
                taken.is_new = True
    except Error as error:
        raise table_errors(error, delivery.using) from error
    return taken or Taken(State.RUNNING, is_elsewhere=True)


def insert(delivery: Delivery) -> None:
    """Insert a record for a message that has none."""
    now = timezone.now()
    record = inserting.NewRecord(
        id=delivery.id,
        task=delivery.task.name,
        created_at=now,
        send_at=now,
        model=delivery.model,
        row=delivery.row,
        state=State.SENT,
    )
    inserting.insert(delivery.using, [record])


def count_crash(delivery: Delivery) -> None:
    """Count, before the transaction, a delivery that may have ended its process."""
    records = _of(delivery).filter(state__in=(State.WAITING, State.SENT, State.RUNNING))
    if delivery.turn is not None:  # a retry that waits in the record is not running
        records = records.filter(turn=delivery.turn)
    change(
        records,
        {"state": State.RUNNING, "started_at": timezone.now(), "crashes": F("crashes") + 1},
    )


def key_of(task_id: str) -> int:
    """Return the number of the advisory lock that a worker holds while it runs a task."""
    digest = hashlib.blake2b(f"cereal_methods.records:{task_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _of(delivery: Delivery) -> Any:
    return TaskRecord._base_manager.using(delivery.using).filter(pk=delivery.id)


def _select(connection: Any, delivery: Delivery) -> Taken | None:
    values = _of(delivery).select_for_update().values_list(*_COLUMNS).first()
    return None if values is None else Taken(*values)


def _select_on_postgresql(connection: Any, delivery: Delivery) -> Taken | None:
    with connection.cursor() as cursor:
        cursor.execute(_statement(), [delivery.id, key_of(delivery.id)])
        values = cursor.fetchone()
    if values is None:
        return None
    state, turn, attempts, crashes, error, has_more = values
    if has_more or delivery.ended is not None:
        return Taken(*_of(delivery).values_list(*_COLUMNS).get())
    return Taken(state, turn, attempts, crashes, error=error)


@cache
def _statement() -> str:
    """Return the statement that takes a record on PostgreSQL.

    A worker that runs a task holds the advisory lock of its id, so another delivery does not wait
    for it. It does wait for statements that only update the record, which hold the row's lock for a
    moment. Columns that few runs need are left out, because each of them costs time.
    """
    return (
        "SELECT state, turn, attempts, crashes, error, "  # noqa: S608  (names of this module's)
        "expires_at IS NOT NULL OR state NOT IN ('waiting', 'sent') "
        f'FROM "{TaskRecord._meta.db_table}" '
        "WHERE id = %s AND pg_try_advisory_xact_lock(%s) FOR UPDATE"
    )


def _is_free(connection: Any, delivery: Delivery) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key_of(delivery.id)])
        (is_free,) = cursor.fetchone()
    return bool(is_free)
