"""The rows of a message, as its headers and its keyword ``this`` name them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..rows.container import ArgumentContainer
from ..rows.keys import key_to_wire
from ..rows.reference import THIS, QuerySetReference
from ..rows.wire import reference_from_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..rows.reference import ModelReference, Reference

#: The stamp of a bulk's messages; its value is the bulk's id.
STAMP: Final = "cereal_bulk"

#: The header that limits a message to some of the rows in its body: the first position, and the
#: first position after them.
ROWS: Final = "cereal_rows"

#: The header that counts how often the message's process has died while it ran.
CRASHES: Final = "cereal_crashes"

#: The header of a durable task's message that says where its record is: a database, and a turn.
RECORD: Final = "cereal_record"

#: The header of a durable task's message that is not to run: how it has ended, and why.
ENDED: Final = "cereal_ended"

#: The header of a durable task's message that was returned to the broker because the database could
#: not be reached. The server may still hold the locks of the earlier run.
RETURNED: Final = "cereal_returned"

#: Headers of a single message, which messages sent for its rows do not inherit.
MESSAGE_HEADERS: Final = (ROWS, CRASHES, RECORD, ENDED, RETURNED, "cereal_fetch_tries")


def is_bulk(request: Any) -> bool:
    """Whether a task's message belongs to a bulk."""
    return STAMP in (request.stamped_headers or ())


def rows_in(kwargs: Any, headers: Mapping[str, Any]) -> Reference | None:
    """Return the rows that a message is for, or None.

    Runs no query and imports no class of the user's.
    """
    reference: Reference | None
    try:
        reference = (
            kwargs.own_reference
            if isinstance(kwargs, ArgumentContainer)
            else reference_from_plain(kwargs.get(THIS))
        )
    except Exception:  # an unreadable message fails when it runs
        return None
    if isinstance(reference, QuerySetReference):
        part = part_of(reference, headers)
        return part if headers.get(ROWS) or len(part.pks) > 1 else part.each()[0]
    return reference


def part_of(rows: QuerySetReference, headers: Mapping[str, Any]) -> QuerySetReference:
    """Return the rows that a message is for, of those in its body."""
    match headers.get(ROWS):
        case [int(first), int(end)]:
            return QuerySetReference(rows.label, rows.pks[first:end], rows.using)
    return rows


def is_batch(rows: Reference | None, headers: Mapping[str, Any]) -> bool:
    """Whether a message runs its rows one by one, and has an outcome for all of them."""
    return isinstance(rows, QuerySetReference) or (rows is not None and bool(headers.get(ROWS)))


def references_of(rows: Reference) -> list[ModelReference]:
    """Return a reference for each row."""
    return rows.each() if isinstance(rows, QuerySetReference) else [rows]


def keys_of(rows: Reference) -> list[Any]:
    """Return the keys of rows in wire form."""
    return [key_to_wire(key) for key in rows.keys]
