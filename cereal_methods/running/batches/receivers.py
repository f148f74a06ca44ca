"""The receivers of Celery's signals, called for each row of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ...celery_api.worker import closes_connections, receivers_of, run_logger

#: The module whose receiver removes what is kept of a batch.
_FINISHED: Final = f"{__package__}.finished"


def receivers_for_rows(signal: Any, task: Any) -> list[Callable[..., Any]]:
    """Return the receivers of a signal, without those that are for the whole message.

    They are the one that closes database connections, as rows may share a transaction, and ours.
    """
    return [
        receiver
        for receiver in receivers_of(signal, task)
        if not closes_connections(receiver) and getattr(receiver, "__module__", "") != _FINISHED
    ]


def send(signal: Any, receivers: list[Callable[..., Any]], /, **arguments: Any) -> None:
    """Send a signal to receivers, and log what they raise, as Celery does."""
    for receiver in receivers:
        try:
            receiver(signal=signal, **arguments)
        except Exception as error:
            run_logger.exception("Signal handler %r raised: %r", receiver, error)
