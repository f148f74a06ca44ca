"""The receivers of Celery's signals, called for each row of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...celery_api.worker import closes_connections, receivers_of, run_logger


def receivers_for_rows(signal: Any, task: Any) -> list[Callable[..., Any]]:
    """Return the receivers of a signal, without the one that closes database connections.

    That one is for the whole message, whose rows may share a transaction.
    """
    return [receiver for receiver in receivers_of(signal, task) if not closes_connections(receiver)]


def send(signal: Any, receivers: list[Callable[..., Any]], /, **arguments: Any) -> None:
    """Send a signal to receivers, and log what they raise, as Celery does."""
    for receiver in receivers:
        try:
            receiver(signal=signal, **arguments)
        except Exception as error:
            run_logger.exception("Signal handler %r raised: %r", receiver, error)
