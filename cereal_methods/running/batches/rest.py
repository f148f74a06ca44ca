"""The rest of a batch, which another message continues."""

from __future__ import annotations

import logging
from typing import Any

from celery import signals
from celery.app.task import Context
from celery.states import SUCCESS

from ...results.codec import Codec
from ...results.failure_record import store_failure_record
from ...results.ids import rest_id
from ...results.messages import is_batch, references_of, rows_in
from ...rows.reference import THIS, QuerySetReference
from ..message import sent_arguments_of
from ..target import is_row_task
from . import journal
from .progress import wait_for_backend
from .row_request import row_request

logger = logging.getLogger("cereal_methods")


def send_rest(
    task: Any, request: Any, rows: QuerySetReference, first: int, countdown: float | None = None
) -> str:
    """Send a message for the rows of a batch from a position on, and return its id."""
    rest = QuerySetReference(rows.label, rows.pks[first:], rows.using)
    task_id = rest_id(request.id, first)
    args, kwargs, serializer = sent_arguments_of(request)
    kwargs = {**kwargs, THIS: rest.as_plain()}
    texts = {
        name: text.replace(repr(rows), repr(rest))
        for name in ("argsrepr", "kwargsrepr")
        if (text := getattr(request, name, None))
    }
    options = {"serializer": serializer} if serializer else {}
    task.signature_from_request(
        row_request(request, task_id, args, kwargs, **texts),
        args,
        kwargs,
        countdown=countdown,
        **texts,
        **options,
    ).apply_async()
    return task_id


@signals.task_internal_error.connect(weak=False, dispatch_uid=f"{__name__}.rescue")
def _record_and_continue(
    sender: Any = None, task_id: str = "", args: Any = None, kwargs: Any = None, **about: Any
) -> None:
    """Record the outcome so far and send the rest, if Celery could not store a batch's state.

    Celery stores the failure of the task after this, so whoever reads it finds the record.
    """
    request = Context({**(about.get("request") or {}), "args": args, "kwargs": kwargs})
    rows = rows_in(kwargs, vars(request)) if is_row_task(sender) else None
    if rows is None or not is_batch(rows, vars(request)) or request.is_eager:
        return
    if sender.target.is_durable:  # its record has the outcome, which is handed on
        return
    try:
        request.id = task_id
        pks = tuple(reference.pk for reference in references_of(rows))
        rows = QuerySetReference(rows.label, pks, rows.using)
        has_result = not (request.ignore_result or sender.ignore_result)
        if has_result:
            wait_for_backend(sender.backend, task_id)
        decode = Codec(sender.backend).decode if has_result else lambda entry: None
        outcome = journal.read(task_id).outcome(len(pks), decode)
        if outcome.ended < len(pks):
            outcome.rest = [outcome.ended, send_rest(sender, request, rows, outcome.ended)]
        journal.mark_recorded(task_id)
        if has_result:
            store_failure_record(sender.backend, task_id, outcome)
            sender.backend.store_result(task_id, outcome.as_result(), SUCCESS)
    except Exception:
        logger.exception("Batch %s[%s] could not be continued.", sender.name, task_id)
