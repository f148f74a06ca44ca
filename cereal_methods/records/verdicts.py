"""Whether the record of a delivery lets it run, and how the delivery ends if not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery.canvas import maybe_signature
from celery.exceptions import Ignore
from celery.states import SUCCESS
from django.utils import timezone

from .. import conf
from ..celery_api.backends import counts_parts_again
from . import ending, results
from .following import drop_message, note_following
from .models import State

if TYPE_CHECKING:
    from .deliveries import Delivery
    from .taking import Taken

logger = logging.getLogger("cereal_methods")

#: Ends a delivery that does not run; called after the transaction. Returns the task's result, or
#: raises.
Verdict = Callable[[], Any]


class RecordedFailure(Exception):
    """A durable task has failed in an earlier delivery; the text is the error in its record."""


def verdict(delivery: Delivery, request: Any, taken: Taken) -> Verdict | None:
    """Return the function that ends a delivery, or ``None`` if the delivery may run.

    Call this in the transaction that has taken the record. It may end the record.
    """
    if taken.is_elsewhere:
        return elsewhere(delivery)
    if taken.is_missing:
        signature = ending.former_signature(delivery)
        if signature is not None:
            return lambda: _replace(delivery, signature)
        return _ignore(delivery, "was delivered again, and its record was deleted")
    if delivery.turn is not None and delivery.turn != taken.turn:
        return _ignore(
            delivery, "was delivered again after a newer message was sent; this delivery ends"
        )
    if delivery.ended is not None:
        return _end_as_reported(delivery, taken, *delivery.ended)
    if taken.state == State.DONE:
        return lambda: _hand_on(delivery, request, taken)
    if taken.state == State.FAILED:
        return lambda: _fail(delivery, taken.error)
    if taken.state == State.CANCELED:
        return lambda: _revoke(delivery, request, State.CANCELED)
    now = timezone.now()
    if taken.state == State.EXPIRED or (taken.expires_at is not None and taken.expires_at <= now):
        if taken.state != State.EXPIRED:
            reason = f"No worker took it before {taken.expires_at:%Y-%m-%d %H:%M:%S}."
            ending.stopped(delivery, taken, State.EXPIRED, reason)
        return lambda: _revoke(delivery, request, State.EXPIRED)
    # A batch is divided instead, so that only the row that ends the process fails.
    if taken.crashes >= conf.get("DURABLE_MAX_CRASHES") and not delivery.is_batch:
        text = f"The process that ran it ended {taken.crashes} times before the method returned."
        ending.failed(delivery, taken, f"RecordedFailure: {text}")
        return lambda: _fail(delivery, text)
    return None


def elsewhere(delivery: Delivery) -> Verdict:
    """Return the function that ends a delivery whose task runs in another worker."""
    return _ignore(delivery, "was delivered again while it is running; this delivery ends")


def _ignore(delivery: Delivery, reason: str) -> Verdict:
    def ignore() -> Any:
        logger.info("%s %s.", delivery, reason)
        raise Ignore(reason)

    return ignore


def _replace(delivery: Delivery, signature: bytes) -> Any:
    logger.info("%s was delivered again, and was replaced: the replacement is sent.", delivery)
    canvas: Any = maybe_signature(results.decode(signature), app=delivery.task.app)
    canvas.apply_async()
    ending.forget_signature(delivery, delivery.turn or 0)
    raise Ignore("It was replaced.")


def _end_as_reported(delivery: Delivery, taken: Taken, state: str, reason: str) -> Verdict:
    """End a record for a consumer, which has no database connection and has done the rest."""
    if state == State.CANCELED:
        ending.stopped(delivery, taken, State.CANCELED, reason)
    else:
        ending.failed(delivery, taken, reason, taken.started_at)
    return _ignore(delivery, f"has ended: {reason}")


def _hand_on(delivery: Delivery, request: Any, taken: Taken) -> Any:
    """Return the result of a task that is done, so that Celery sends what follows it.

    If the result is stored, the links and the next step of a chain were sent before, so the
    delivery ends. Celery counts a part of a chord after it has stored the result. On Redis a part
    may be counted twice.
    """
    backend = delivery.task.backend
    is_stored = not (request.ignore_result or delivery.task.ignore_result)
    counts_again = request.chord and counts_parts_again(backend)
    has_next = note_following(request)
    if is_stored and not counts_again and backend.get_state(delivery.id) == SUCCESS:
        if has_next:
            drop_message(request)
        return _ignore(delivery, "was delivered again, and is done")()
    logger.info("%s was delivered again, and is done: its result is handed on.", delivery)
    return results.decode(taken.result)


def _fail(delivery: Delivery, text: str) -> Any:
    logger.info("%s does not run: it has failed.", delivery)
    raise RecordedFailure(text)


def _revoke(delivery: Delivery, request: Any, state: State) -> Any:
    logger.info("%s does not run: it is %s.", delivery, state)
    is_stored = not (request.ignore_result or delivery.task.ignore_result)
    delivery.task.backend.mark_as_revoked(
        delivery.id, str(state), request=request, store_result=is_stored
    )
    raise Ignore(f"It is {state}.")
