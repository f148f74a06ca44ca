"""One delivery of a durable task's message, and what it says of its record."""

from __future__ import annotations

from typing import Any

from ..results.messages import CRASHES, ENDED, RECORD
from .databases import fallback, is_kept_on
from .querysets import row_of


class Delivery:
    """What a message says of its record: where it is, and which turn of it the message is for."""

    __slots__ = ("ended", "id", "is_suspicious", "model", "row", "task", "turn", "using")

    def __init__(self, task: Any, request: Any, reference: Any) -> None:
        self.task = task
        self.id: str = request.id
        self.model, self.row = row_of(reference)
        found: Any = getattr(request, RECORD, None)
        alias, turn = found if _is_place(found) else (None, None)
        self.turn: int | None = turn
        if reference is not None:
            self.using: str = reference.using
        else:
            self.using = str(alias) if is_kept_on(alias) else fallback(task)
        ended: Any = getattr(request, ENDED, None)
        #: How the task has ended, and why, where a worker could only say so by a message.
        self.ended: tuple[str, str] | None = tuple(ended) if _are_texts(ended) else None
        info = request.delivery_info or {}
        #: Whether it may have ended its process before.
        self.is_suspicious = bool(info.get("redelivered") or getattr(request, CRASHES, None))

    def __str__(self) -> str:
        return f"Task {self.task.name}[{self.id}]"


def _is_place(value: Any) -> bool:
    # Anybody who can write to the broker may have written it.
    return (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[0], str)
        and type(value[1]) is int
    )


def _are_texts(value: Any) -> bool:
    is_pair = isinstance(value, (list, tuple)) and len(value) == 2
    return is_pair and all(isinstance(text, str) for text in value)
