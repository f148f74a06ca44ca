"""What a batch's journal says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...results.outcome import Outcome

logger = logging.getLogger("cereal_methods")


@dataclass(slots=True)
class Events:
    """The events in a journal: the rows that have ended, and the one that has started.

    ``lines`` are those of the rows that have ended. ``started`` is the position of the row that
    has started and not ended, ``crashes`` how often it has started. ``is_recorded`` says that
    the batch's outcome is in the result backend.
    """

    lines: list[str] = field(default_factory=list)
    started: int | None = None
    crashes: int = 0
    is_recorded: bool = False

    @classmethod
    def read(cls, text: str) -> Events:
        """Return the events in the complete lines of a journal."""
        events = cls()
        for line in text.split("\n")[:-1]:  # the last line is incomplete or empty
            if line.startswith(">"):
                position = int(line[1:])
                events.crashes = events.crashes + 1 if position == events.started else 1
                events.started = position
            elif line.startswith(("=", "!", "~")):
                events.lines.append(line)
                events.started, events.crashes = None, 0
            elif line == ".":
                events.is_recorded = True
        return events

    def outcome(self, rows: int, decode: Callable[[Any], Any]) -> Outcome:
        """Return the outcome so far of a batch of so many rows."""
        outcome = Outcome(rows)
        for line in self.lines:
            if line == "~":
                outcome.add_retried()
            elif line.startswith("="):
                outcome.add_result(_decoded(line[1:], decode))
            else:
                kind, key, text, exception = json.loads(line[1:])
                outcome.add_ending(
                    kind, key, text, None if exception is None else decode(exception)
                )
        return outcome


def _decoded(text: str, decode: Callable[[Any], Any]) -> Any:
    try:
        return decode(json.loads(text))
    except Exception:  # an instance in it was deleted, say
        logger.warning("The value that a row of a batch returned cannot be decoded.", exc_info=True)
        return None
