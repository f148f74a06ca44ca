"""What this library keeps on a task's request while the task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..rows.reference import Reference
    from .resolution import Resolution

#: The attribute of a request that has its ``RunState``.
STATE: Final = "cereal_state"


class RunState:
    """The state of one run of a task, from the arrival of its arguments to its end."""

    # Defaults are on the class, as a state is made for every message.

    #: The reference of the row, or rows, that the method runs on.
    reference: Reference | None = None
    #: Whether the function has been called.
    has_started: bool = False
    #: The rows that were fetched for the function.
    resolution: Resolution | None = None
    #: What sends the task's replacement, to be called when the function's transaction has ended.
    #: None outside of such a transaction.
    pending_sends: list[Callable[[], Any]] | None = None
    #: For a row of a batch: the rows that its window has fetched, or None for those that are gone.
    window_rows: Mapping[Any, Any] | None = None
    #: Whether the rows of a task without a row policy have been fetched.
    has_fetched: bool = False

    def __init__(self, *, window_rows: Mapping[Any, Any] | None = None) -> None:
        if window_rows is not None:
            self.window_rows = window_rows


def state_of(request: Any) -> RunState:
    """Return the state of a request, which is made when it is first asked for."""
    attributes = vars(request)
    state: RunState | None = attributes.get(STATE)
    if state is None:
        state = attributes[STATE] = RunState()
    return state


def is_row_of_batch(request: Any) -> bool:
    """Whether a request is for one row of a batch."""
    return state_of(request).window_rows is not None
