"""The rest of a batch, which goes on in a message of its own."""

from __future__ import annotations

import logging
from typing import Any

from celery import signals
from celery.app.task import Context
from celery.states import SUCCESS

from . import journal
from .arguments import sent_by
from .attempts import request_of
from .calls import THIS
from .codec import Codec
from .outcomes import is_batch, note_id, references_of, rest_id, rows_in
from .progress import await_backend
from .references import QuerySetReference

logger = logging.getLogger("cereal_methods")


def send_rest(
    task: Any, request: Any, rows: QuerySetReference, first: int, countdown: float | None = None
) -> str:
    """Send a message for the rows of a request's from a position on; return its id."""
    rest = QuerySetReference(rows.label, rows.pks[first:], rows.using)
    task_id = rest_id(request.id, first)
    args, kwargs, serializer = sent_by(request)
    kwargs = {**kwargs, THIS: rest.as_plain()}
    texts = {
        name: text.replace(repr(rows), repr(rest))
        for name in ("argsrepr", "kwargsrepr")
        if (text := getattr(request, name, None))
    }
    options = {"serializer": serializer} if serializer else {}
    task.signature_from_request(
        request_of(request, task_id, args, kwargs, **texts),
        args,
        kwargs,
        countdown=countdown,
        **texts,
        **options,
    ).apply_async()
    return task_id


@signals.task_internal_error.connect(weak=False, dispatch_uid=f"{__name__}.rescue")
def _rescue(
    sender: Any = None, task_id: str = "", args: Any = None, kwargs: Any = None, **about: Any
) -> None:
    """Record how far a batch is, and let the rest go on, where Celery could not store a state.

    That is what ends a task from outside of its function. Celery stores the failure after
    this: whoever reads it finds this record.
    """
    request = Context({**(about.get("request") or {}), "args": args, "kwargs": kwargs})
    rows = rows_in(kwargs, vars(request)) if hasattr(sender, "row_policy") else None
    if not is_batch(rows, vars(request)) or request.is_eager or not rows:
        return
    try:
        request.id = task_id
        rows = QuerySetReference(
            rows.label, tuple(each.pk for each in references_of(rows)), rows.using
        )
        is_kept = not (request.ignore_result or sender.ignore_result)
        if is_kept:
            await_backend(sender.backend, task_id)
        decode = Codec(sender.backend).decode if is_kept else lambda entry: None
        outcome = journal.read(task_id).outcome(len(rows.pks), decode)
        if outcome.ended < len(rows.pks):
            outcome.rest = [outcome.ended, send_rest(sender, request, rows, outcome.ended)]
        journal.tell(task_id)
        if is_kept:
            for own_id in (note_id(task_id), task_id):
                sender.backend.store_result(own_id, outcome.as_result(), SUCCESS)
    except Exception:
        logger.exception("Batch %s[%s] could not be gone on with.", sender.name, task_id)
