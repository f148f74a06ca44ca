"""A bulk: a method that is sent for many rows, with one result for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from celery import group, uuid
from django.db import models, router

from ..celery_api.tasks import check_arguments, repr_sizes
from ..exceptions import BulkInterrupted
from ..results.bulk import BulkResult
from ..results.ids import message_id
from ..results.messages import STAMP
from ..rows.reference import (
    THIS,
    ModelReference,
    QuerySetReference,
    Reference,
    single_row,
)
from ..rows.routing import write_database
from ..rows.values import to_references
from ..running import durability, text
from ..running.target import policy_of
from ..serializers.acceptance import check_foreign
from .bulk_rows import batches, checked_rows, row_keys
from .validation import check_bulk_options


class Bulk:
    """A call of a method's task for many rows: checked when it is made, and sent by ``send``.

    ``call`` is the method that was called with ``options``, for errors. Raises what
    ``bulk_apply_async`` raises.
    """

    def __init__(
        self,
        task: Any,
        model: type[models.Model],
        rows: Any,
        args: Any,
        kwargs: Mapping[str, Any] | None,
        batch_size: int | None,
        options: Mapping[str, Any],
        call: str = "bulk_apply_async",
    ) -> None:
        check_bulk_options(task, options, call, batch_size)
        check_foreign(options.get("serializer") or task.serializer)
        self.task = task
        self.model = model
        self.rows = checked_rows(task, model, rows)
        self.args = to_references(tuple(args or ()))
        self.kwargs = to_references(dict(kwargs or {}))
        if THIS in self.kwargs:
            raise TypeError(
                f"{task.name} got {THIS}= for many rows. Pass the rows as the first "
                "argument instead."
            )
        if task.typing:
            check_arguments(task, self.args, {**self.kwargs, THIS: None})
        # Eager tasks run one by one, so that each has its own result.
        size = 1 if batch_size is None or task.app.conf.task_always_eager else batch_size
        is_kept = not options.get("ignore_result", task.ignore_result)
        self.result = BulkResult(uuid(), size, is_kept=is_kept, app=task.app)
        self.options = {
            "kwargsrepr": text.kwargs_text(self.kwargs, repr_sizes(task.app)[1]),
            **options,
            "add_to_parent": False,
            "stamped_headers": [*(options.get("stamped_headers") or ()), STAMP],
            STAMP: [self.result.id],
        }

    @property
    def is_durable(self) -> bool:
        """Whether its messages are recorded in the caller's transaction."""
        return bool(self.task.target.is_durable and durability.is_on(self.task.app))

    @property
    def using(self) -> str:
        """The alias of the database that the rows, or the first of them, are written to."""
        if isinstance(self.rows, models.QuerySet):
            return write_database(self.rows.model, self.rows.db)
        if isinstance(self.rows, (list, tuple)):
            for _, _, using in row_keys(self.model, self.rows[:1]):
                return using
        return router.db_for_write(self.model)

    def send(self) -> BulkResult:
        """Send the messages.

        Raises ``BulkInterrupted`` if some of the messages were sent when an error ended it, and
        the error itself if none was.
        """
        if self.is_durable:
            return self._record()
        result, eager = self.result, self.task.app.conf.task_always_eager
        options = self.options
        size, _ = repr_sizes(self.task.app)
        due = _due(options)
        try:
            with self.task.app.producer_or_acquire() as producer:
                for batch in batches(row_keys(self.model, self.rows), result.batch_size):
                    if result.messages == 0:
                        policy_of(self.task).check_dispatch(batch, self.task.name)
                    rows = single_row(batch)
                    sent = self.task.apply_async(
                        self.args,
                        {**self.kwargs, THIS: rows.as_plain()},
                        task_id=message_id(result.id, result.messages),
                        producer=producer,
                        **{"argsrepr": text.args_text(rows, self.args, size), **options},
                    )
                    result.add(batch.pks, sent if eager else None)
                    result.sent_at = max(time.time(), due)
                    if result.messages == 1 and not eager:
                        options = self._unwatched()
        except Exception as error:
            if result.total == 0:
                raise
            raise BulkInterrupted(
                f"{self.task.name} was sent for {result.total:,} rows only: "
                f"{type(error).__name__}: {error} The error's attribute result is the result of "
                "those rows.",
                result,
            ) from error
        return result

    def _record(self) -> BulkResult:
        """Record the messages in the caller's transaction, all of them or none."""
        task, options = self.task, self.options
        records = durability.installed(task.name)
        records.send_rows(task, self._messages(), self.args, self.kwargs, options)
        self.result.sent_at = max(time.time(), _due(options))
        return self.result

    def _messages(self) -> Iterator[tuple[str, Reference, str]]:
        """Yield the id of each message, its row or rows, and the text of its arguments."""
        result = self.result
        size, _ = repr_sizes(self.task.app)
        args_text = text.row_texts(self.args, size)
        for number, rows in enumerate(self._references()):
            if number == 0:
                first = QuerySetReference(rows.label, rows.keys, rows.using)
                policy_of(self.task).check_dispatch(first, self.task.name)
            result.add(rows.keys)
            yield message_id(result.id, number), rows, args_text(rows)

    def _references(self) -> Iterator[Reference]:
        """Yield the row or the rows of each message."""
        keys = row_keys(self.model, self.rows)
        if self.result.batch_size == 1:
            yield from (ModelReference(*key) for key in keys)
            return
        for batch in batches(keys, self.result.batch_size):
            yield single_row(batch)

    def _unwatched(self) -> dict[str, Any]:
        """Return the options of all messages but the first.

        Celery subscribes to the result of each task that it sends, with a round trip to the
        result backend and a channel, unless the result is ignored. A bulk does not need that,
        because it asks for its results. The worker obeys the header, which has the true value.
        The first message is an ordinary one, so that the backend sets up what it needs once, such
        as the reply queue of rpc.
        """
        headers = {**(self.options.get("headers") or {}), "ignore_result": not self.result.is_kept}
        return {**self.options, "ignore_result": True, "headers": headers}


def as_group(
    task: Any, model: type[models.Model], rows: Any, args: Any, kwargs: Mapping[str, Any]
) -> group:
    """Return a group of signatures, one for each row."""
    args, kwargs = to_references(tuple(args)), to_references(dict(kwargs))
    keys = row_keys(model, checked_rows(task, model, rows))
    return group(
        [task.signature(args, {**kwargs, THIS: ModelReference(*key).as_plain()}) for key in keys]
    )


def _due(options: Mapping[str, Any]) -> float:
    """Return when the messages are due, in seconds since the epoch; 0 for at once."""
    eta: Any
    eta, countdown = options.get("eta"), options.get("countdown")
    if hasattr(eta, "timestamp"):
        return float(eta.timestamp())
    return time.time() + countdown if isinstance(countdown, (int, float)) else 0.0
