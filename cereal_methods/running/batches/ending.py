"""How one row of a batch has ended."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

#: The row's method has returned.
RESULT: Final = "result"

#: The row runs again in another message.
RETRIED: Final = "retried"


class RowEnding(NamedTuple):
    """How a row has ended: with a value, or without a result.

    ``kind`` is ``RESULT``, ``RETRIED`` or one of ``results.endings``. ``encoded`` is the value as
    the journal holds it. A row without a result has a ``text``, and an ``exception`` in the form
    of result backends if the method or the fetch has raised one. ``is_limit`` says that the
    batch's time limit has struck.
    """

    kind: str
    value: Any = None
    encoded: Any = None
    text: str = ""
    exception: Any = None
    is_limit: bool = False
