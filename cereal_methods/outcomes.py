"""What a bulk's messages leave in the result backend, and under which ids.

The ids of a bulk's messages are computed from its own id and their number, and
those of rows that go on by themselves from their batch's: a result that stands
for a million rows need not hold a million ids. A record is written once more,
and the same, if a worker dies and its message is delivered again: counting
records, and not events, keeps the counts exact.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from celery.exceptions import Ignore, Reject, Retry
from celery.states import IGNORED, PENDING, RECEIVED, RETRY, STARTED, SUCCESS

from .codec import Codec
from .failures import Discarded, Replaced
from .references import THIS, from_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .references import ModelReference, QuerySetReference

logger = logging.getLogger("cereal_methods")

#: The key under which a batch's result says that it is one.
OUTCOME: Final = "cereal_methods.outcome"

#: The stamp that a bulk's messages carry, with the bulk's id.
STAMP: Final = "cereal_bulk"

#: The header that says which of its rows a message is for: the first, and the first after them.
ROWS: Final = "cereal_rows"

#: The header that counts how often a message has ended its process.
CRASHES: Final = "cereal_crashes"

#: Headers that are about one message, and not about those that go on for its rows.
OWN_HEADERS: Final = (ROWS, CRASHES, "cereal_fetch_tries")

#: The longest text of an error, in characters.
_LONGEST: Final = 1000

#: The states that Celery writes before a task has ended.
_UNFINISHED: Final = frozenset({PENDING, RECEIVED, STARTED, RETRY})

#: What becomes of a row that has no result and does not go on.
FAILED: Final = "failed"
MISSING: Final = "missing"
IGNORED_ROW: Final = "ignored"
REVOKED_ROW: Final = "revoked"
EXPIRED: Final = "expired"


@lru_cache(maxsize=16)  # for the rows of a batch
def _space(task_id: str) -> UUID:
    try:
        return UUID(task_id)
    except ValueError:  # an id that a sender chose
        return uuid5(NAMESPACE_OID, task_id)


def _derived(task_id: str, name: str) -> str:
    return str(uuid5(_space(task_id), name))


def message_id(bulk_id: str, number: int) -> str:
    """Return the task id of a bulk's message."""
    return _derived(bulk_id, str(number))


def row_id(batch_id: str, position: int) -> str:
    """Return the task id of a batch's row: its hooks see it, and it goes on by itself under it."""
    return _derived(batch_id, str(position))


def rest_id(batch_id: str, position: int) -> str:
    """Return the task id of the message that a batch goes on with, from one of its rows."""
    return _derived(batch_id, f"from {position}")


def note_id(task_id: str) -> str:
    """Return the id of the record that names the rows of a task without a result."""
    return _derived(task_id, "note")


def progress_id(batch_id: str) -> str:
    """Return the id of the record that says how far a batch is that still runs."""
    return _derived(batch_id, "progress")


@dataclass(slots=True)
class Outcome:
    """What became of a batch's rows, by their positions.

    ``results`` has an entry for each row that has ended. ``failed``, ``missing``,
    ``ignored`` and ``revoked`` hold position, key (in wire form) and text of the rows
    without a result. ``retried`` are positions of rows that go on under ids of their own,
    ``raised`` positions and exceptions, as result backends encode them. ``rest`` is
    the first position that went on in another message, and that message's id.
    """

    rows: int
    results: list[Any] = field(default_factory=list)
    failed: list[list[Any]] = field(default_factory=list)
    missing: list[list[Any]] = field(default_factory=list)
    retried: list[int] = field(default_factory=list)
    ignored: list[list[Any]] = field(default_factory=list)
    revoked: list[list[Any]] = field(default_factory=list)
    raised: list[list[Any]] = field(default_factory=list)
    rest: list[Any] = field(default_factory=list)

    @property
    def ended(self) -> int:
        """How many of the rows, from the first on, have ended here or go on by themselves."""
        return len(self.results)

    def add_result(self, value: Any = None) -> None:
        """Enter what the next row's method returned."""
        self.results.append(value)

    def add(self, kind: str, reference: ModelReference, text: str, raised: Any = None) -> None:
        """Enter the next row, which has no result; ``kind`` names one of the lists."""
        position = len(self.results)
        getattr(self, kind).append([position, reference.as_wire()[1], text])
        if raised is not None:
            self.raised.append([position, raised])
        self.results.append(None)

    def add_retried(self) -> None:
        """Enter the next row, which goes on under an id of its own."""
        self.retried.append(len(self.results))
        self.results.append(None)

    def without_result(self) -> set[int]:
        """Return the positions of the rows that did not return anything here."""
        told = (self.failed, self.missing, self.ignored, self.revoked)
        return {*self.retried, *(entry[0] for entries in told for entry in entries)}

    def as_result(self) -> dict[str, Any]:
        """Return what the batch's task returns, in a form that every serializer carries."""
        results = self.results if any(value is not None for value in self.results) else None
        told = [self.rows, results, self.failed, self.missing, self.retried]
        more = [self.ignored, self.revoked, self.raised, self.rest]
        while more and not more[-1]:  # as it was before there were these
            more.pop()
        return {OUTCOME: told + more}


def outcome_of(result: Any) -> Outcome | None:
    """Return the outcome that ``as_result`` wrote, or None if ``result`` is something else."""
    if isinstance(result, dict) and len(result) == 1 and OUTCOME in result:
        outcome = Outcome(*result[OUTCOME])
        if outcome.results is None:
            ended = outcome.rest[0] if outcome.rest else outcome.rows
            outcome.results = [None] * ended
        return outcome
    return None


def is_bulk(request: Any) -> bool:
    """Tell whether a task's message is one of a bulk's."""
    return STAMP in (request.stamped_headers or ())


def note(task: Any, rows: ModelReference | QuerySetReference, error: BaseException) -> None:
    """Record which rows the running task ends for without a result, unless it goes on.

    For messages of bulks alone, and before the task's state changes, so that whoever reads
    the state finds the record. If the backend is away, that is logged, and nothing else.
    """
    request = task.request
    if request.is_eager or not is_bulk(request) or request.ignore_result or task.ignore_result:
        return
    kind = kind_of(error, references_of(rows))
    if kind is None:
        return
    try:
        write_note(task.backend, request.id, kind, keys_of(rows), text_of(reason_of(error)))
        if kind == IGNORED_ROW and not isinstance(error, Discarded):
            _close(task.backend, request)
    except Exception:
        logger.exception("It could not be recorded for which row %s has ended.", request.id)


def check_result(task: Any, request: Any, result: Any) -> None:
    """Raise what storing a result would raise, where its row is still known."""
    if not (request.is_eager or request.ignore_result or task.ignore_result):
        Codec(task.backend).encode(result)


def write_note(backend: Any, task_id: str, kind: str, keys: Sequence[Any], text: str) -> None:
    """Record what became of a message's rows; the keys are in wire form."""
    backend.store_result(note_id(task_id), [kind, list(keys), text], SUCCESS)


def _close(backend: Any, request: Any) -> None:
    """Record that a task is ignored, unless its method has recorded another state."""
    if backend.get_task_meta(request.id, cache=False)["status"] in _UNFINISHED:
        backend.store_result(request.id, None, IGNORED, request=request)


def kind_of(error: BaseException, references: Sequence[ModelReference]) -> str | None:
    """Return what an error makes of the rows that it ends; None if they go on elsewhere."""
    if isinstance(error, Retry) or (isinstance(error, Reject) and getattr(error, "requeue", False)):
        return None
    if isinstance(error, Ignore):
        if isinstance(error, Replaced):
            return None
        return MISSING if _are_missing(references, reason_of(error)) else IGNORED_ROW
    return MISSING if _are_missing(references, error) else FAILED


def reason_of(error: BaseException) -> BaseException:
    """Return why a task is discarded, or the error itself."""
    return error.error if isinstance(error, Discarded) else error


def _are_missing(references: Sequence[ModelReference], error: BaseException) -> bool:
    # Not any DoesNotExist, which may be one of the method's own.
    named = getattr(error, "references", ())
    return bool(named) and all(reference in named for reference in references)


def references_of(rows: ModelReference | QuerySetReference) -> list[ModelReference]:
    """Return a reference of each row."""
    found: Any = rows
    return found.each() if hasattr(found, "pks") else [found]


def rows_in(kwargs: Any, headers: Mapping[str, Any]) -> ModelReference | QuerySetReference | None:
    """Return the rows that a message is for, or None. Reads no class and runs no query."""
    try:
        own: Any = kwargs.own if hasattr(kwargs, "own") else from_plain(kwargs.get(THIS))
    except Exception:  # a message that cannot be read fails as it is run
        return None
    if hasattr(own, "pks"):
        part = part_of(own, headers)
        return part if headers.get(ROWS) or len(part.pks) > 1 else part.each()[0]
    found: ModelReference | None = own
    return found


def part_of(rows: QuerySetReference, headers: Mapping[str, Any]) -> QuerySetReference:
    """Return those of a message's rows that it is for: a part goes on with the same body."""
    match headers.get(ROWS):
        case [int(first), int(end)]:
            return type(rows)(rows.label, rows.pks[first:end], rows.using)
    return rows


def is_batch(rows: Any, headers: Mapping[str, Any]) -> bool:
    """Tell whether a message's rows are run one by one, with an outcome for all of them."""
    return hasattr(rows, "pks") or (rows is not None and bool(headers.get(ROWS)))


def keys_of(rows: ModelReference | QuerySetReference) -> list[Any]:
    """Return the keys of rows in wire form."""
    key = rows.as_wire()[1]
    return key if hasattr(rows, "pks") else [key]


def text_of(error: BaseException) -> str:
    """Return an error in one line of bounded length. Fails for no error."""
    name = type(error).__qualname__
    try:
        text = str(error)
        text = str.__str__(text)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as failure:
        return f"{name}: its text cannot be made, __str__ raised {type(failure).__qualname__}"
    text = "".join(each if each.isprintable() else " " for each in text[: 2 * _LONGEST])
    text = " ".join(text.split())
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 3]}..."
    return f"{name}: {text}"


def raised_by(error: BaseException, backend: Any) -> Any:
    """Return an exception in the form in which result backends keep one under any serializer."""
    try:
        return backend.prepare_exception(error, serializer="json")
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:  # its args are its own
        kind = type(error)
        return {
            "exc_type": kind.__qualname__,
            "exc_message": [text_of(error).partition(": ")[2]],
            "exc_module": kind.__module__,
        }
