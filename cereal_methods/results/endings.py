"""How a row ends if its method does not return a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import Ignore, Reject, Retry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..rows.reference import ModelReference

# The endings of rows without a result, as ``Counts`` and failure records name them.
FAILED: Final = "failed"
MISSING: Final = "missing"
IGNORED_ROW: Final = "ignored"
REVOKED_ROW: Final = "revoked"
EXPIRED: Final = "expired"

#: All of them, in the order of ``Counts``.
ENDINGS: Final = (FAILED, MISSING, IGNORED_ROW, REVOKED_ROW, EXPIRED)


class Discarded(Ignore):
    """Ends a task whose function was not called, because its row is missing or locked.

    ``error`` is the reason.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker dies of what it cannot unpickle from its pool's pipe.
        return Ignore, self.args


class Replaced(Ignore):
    """Ends a task that another one replaces; the changes of its function are committed."""


def ending_of(error: BaseException, references: Sequence[ModelReference]) -> str | None:
    """Return how rows end that a task has raised an error for, or None if they will run again."""
    if isinstance(error, Retry) or (isinstance(error, Reject) and getattr(error, "requeue", False)):
        return None
    if isinstance(error, Ignore):
        if isinstance(error, Replaced):
            return None
        return MISSING if _are_missing(references, discard_reason(error)) else IGNORED_ROW
    return MISSING if _are_missing(references, error) else FAILED


def discard_reason(error: BaseException) -> BaseException:
    """Return why a task was discarded, or the error itself if it was not."""
    return error.error if isinstance(error, Discarded) else error


def _are_missing(references: Sequence[ModelReference], error: BaseException) -> bool:
    # A DoesNotExist that the method raises itself is about other rows.
    missing = getattr(error, "references", ())
    return bool(missing) and all(reference in missing for reference in references)
