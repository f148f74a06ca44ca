"""Recording how a durable task ends, with one statement."""

from __future__ import annotations

import traceback
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from django.db import connections
from django.utils import timezone

from .fields import LONGEST_ID
from .models import State, TaskRecord

if TYPE_CHECKING:
    from .deliveries import Delivery
    from .inserting import NewRecord
    from .taking import Taken

#: The maximum length of an error and of a traceback, in characters.
_LONGEST: Final = 10_000

#: The states that a run may change.
_OPEN: Final = (State.WAITING, State.SENT, State.RUNNING)


def done(
    delivery: Delivery,
    taken: Taken,
    started_at: datetime,
    result: bytes | None,
    note: str = "",
    *,
    keeps_message: bool = False,
) -> int:
    """End a task whose method has returned, in the method's transaction.

    ``note`` is the text of the record about the rows of a batch that did not succeed. With
    ``keeps_message`` the message can be sent again, for what follows the task.
    """
    values: dict[str, Any] = {
        "state": State.DONE,
        "started_at": started_at,
        "attempts": taken.attempts + 1,
        "ended_at": timezone.now(),
    }
    if not keeps_message:  # its arguments are not needed any more
        values.update(envelope="", body=b"")
    # Few runs change these columns, and each column costs time.
    if taken.crashes:
        values["crashes"] = 0
    if note or taken.error:
        values.update(error=note, traceback="")
    if result is not None:
        values["result"] = result
    return _change(delivery, taken, **values)


def replaced(
    delivery: Delivery, taken: Taken, started_at: datetime, signature: bytes | None
) -> int:
    """End a task that ``task.replace()`` has replaced, in the method's transaction.

    Its record gets another id, because the replacement has the task's id and may be durable too.
    ``signature`` is the replacement if it is sent after the commit. It is stored until then.
    """
    return _change(
        delivery,
        taken,
        id=former_id(delivery.id, taken.turn),
        state=State.DONE,
        started_at=started_at,
        attempts=taken.attempts + 1,
        error="It was replaced.",
        result=signature,
        envelope="",
        body=b"",
        ended_at=timezone.now(),
    )


def former_id(task_id: str, turn: int) -> str:
    """Return the id of the record of a task that was replaced."""
    return f"{task_id[: LONGEST_ID - 12]}~{turn}"


def former_signature(delivery: Delivery) -> bytes | None:
    """Return the replacement of a task, unless it is known to be sent."""
    former = former_id(delivery.id, delivery.turn or 0)
    record = TaskRecord._base_manager.using(delivery.using).filter(pk=former)
    signature: bytes | None = record.values_list("result", flat=True).first()
    return signature


def forget_signature(delivery: Delivery, turn: int) -> None:
    """Record that the replacement of a task was sent."""
    former = former_id(delivery.id, turn)
    TaskRecord._base_manager.using(delivery.using).filter(pk=former).update(result=None)


def running(delivery: Delivery, taken: Taken, started_at: datetime) -> int:
    """Mark a task with ``atomic=False`` as running."""
    return _change(delivery, taken, state=State.RUNNING, started_at=started_at)


def failed(
    delivery: Delivery,
    taken: Taken,
    error: BaseException | str,
    started_at: datetime | None = None,
) -> int:
    """End a task that has raised an error, or has ended its process too often."""
    return _change(
        delivery,
        taken,
        state=State.FAILED,
        started_at=started_at,
        attempts=taken.attempts + (0 if isinstance(error, str) else 1),
        error=text_of(error),
        traceback=_traceback_of(error),
        ended_at=timezone.now(),
    )


def stopped(delivery: Delivery, taken: Taken, state: State, reason: str) -> int:
    """End a task that does not run, as canceled or expired."""
    return _change(delivery, taken, state=state, error=reason, ended_at=timezone.now())


def waiting(delivery: Delivery, taken: Taken, following: NewRecord, reason: str) -> int:
    """Mark a task as waiting for its next attempt, whose message replaces the last one."""
    values: dict[str, Any] = {
        "state": State.WAITING,
        "turn": taken.turn + 1,
        "task": following.task,
        "send_at": following.send_at,
        "envelope": following.envelope,
        "body": following.body,
        "attempts": taken.attempts + 1,
        "crashes": 0,
        "error": reason,
        "sent_at": None,
    }
    if following.expires_at is not None:
        values["expires_at"] = following.expires_at
    return _change(delivery, taken, **values)


def text_of(error: BaseException | str) -> str:
    """Return the text of an error in a record: its type and its message."""
    if isinstance(error, str):
        return error
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__}: its text cannot be read"


def _traceback_of(error: BaseException | str) -> str:
    if isinstance(error, str):
        return ""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(lines)[-_LONGEST:]


def _storable(text: str) -> str:
    """Return a text that every database stores: without NUL and lone surrogates.

    The names of files that are not UTF-8 contain such surrogates.
    """
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def _change(delivery: Delivery, taken: Taken, **values: Any) -> int:
    """Change the record of a task that has not ended. Return the number of records, 1 or 0."""
    for name in ("error", "traceback"):
        if name in values:
            values[name] = _storable(values[name][:_LONGEST])
    connection = connections[delivery.using]
    if connection.vendor != "postgresql":
        record = TaskRecord._base_manager.using(delivery.using).filter(
            pk=delivery.id, turn=taken.turn, state__in=_OPEN
        )
        return int(record.update(**values))
    changes = tuple((name, _literal(value)) for name, value in values.items())
    parameters = [value for value in values.values() if _literal(value) is None]
    with connection.cursor() as cursor:
        cursor.execute(_statement(changes), [*parameters, delivery.id, taken.turn])
        return int(cursor.rowcount)


def _literal(value: Any) -> str | None:
    """Return a value as SQL, which costs less than a parameter, or None if it must be one."""
    if value is None:
        return "NULL"
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is State:
        return f"'{value}'"
    return "''" if (kind is str or kind is bytes) and not value else None


@lru_cache(maxsize=256)  # literals, such as attempts and turns, make further statements
def _statement(changes: tuple[tuple[str, str | None], ...]) -> str:
    """Return the ``UPDATE``. Django would take several times as long to compile it."""
    values = ", ".join(f'"{name}" = {literal or "%s"}' for name, literal in changes)
    states = ", ".join(f"'{state}'" for state in _OPEN)
    return (
        f'UPDATE "{TaskRecord._meta.db_table}" SET {values} '  # noqa: S608  (names of this module's)
        f'WHERE "id" = %s AND "turn" = %s AND "state" IN ({states})'
    )
