"""One delivery of a durable task's message, and what it says about the record."""

from __future__ import annotations

from typing import Any

from ..results.messages import CRASHES, ENDED, RECORD, RETURNED
from ..rows.reference import QuerySetReference
from .databases import fallback, is_database
from .querysets import row_of


class Delivery:
    """What a message says about its record: the database, and the turn that it was sent for."""

    __slots__ = (
        "ended",
        "id",
        "is_batch",
        "is_returned",
        "is_suspicious",
        "model",
        "row",
        "task",
        "turn",
        "using",
    )

    def __init__(self, task: Any, request: Any, reference: Any) -> None:
        self.task = task
        self.id: str = request.id
        self.model, self.row = row_of(reference)
        self.is_batch = isinstance(reference, QuerySetReference)
        place = place_of(getattr(request, RECORD, None))
        alias, turn = (None, None) if place is None else place
        self.turn: int | None = turn
        if reference is not None:
            self.using: str = reference.using
        else:
            self.using = str(alias) if is_database(alias) else fallback(task)
        ended: Any = getattr(request, ENDED, None)
        #: How the task has ended, and why, if a consumer has sent the message to say so.
        self.ended: tuple[str, str] | None = tuple(ended) if _is_pair_of_texts(ended) else None
        info = request.delivery_info or {}
        #: Whether an earlier delivery may have ended its process.
        self.is_suspicious = bool(info.get("redelivered") or getattr(request, CRASHES, None))
        #: Whether an earlier delivery lost its connection, whose locks the server may still hold.
        self.is_returned = bool(getattr(request, RETURNED, None))

    def __str__(self) -> str:
        return f"Task {self.task.name}[{self.id}]"


def place_of(header: Any) -> tuple[str, int] | None:
    """Return the database and the turn in the header of a message; None if it is not valid.

    The header is not signed, so anyone who can write to the broker may have written it.
    """
    if not isinstance(header, (list, tuple)) or len(header) != 2:
        return None
    alias, turn = header
    return (alias, turn) if isinstance(alias, str) and type(turn) is int else None


def _is_pair_of_texts(value: Any) -> bool:
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    return is_pair and all(isinstance(text, str) for text in value)
