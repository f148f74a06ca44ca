"""Bulk dispatch: a method over many rows, and one result for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from celery import group
from celery.utils import uuid
from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models.query import ModelIterable

from . import display, publishing
from .exceptions import BulkInterrupted, InvalidModelTask, UnsupportedKey
from .keys import clean_key
from .outcomes import STAMP, message_id
from .policies import policy_of
from .references import (
    THIS,
    ModelReference,
    QuerySetReference,
    to_references,
    written_to,
)
from .serializers.body import check_foreign
from .tallies import BulkResult

#: How many keys are read from the database at a time.
_CHUNK: Final = 2000

#: Options that are about one task and not about many.
_ONE_ONLY: Final = frozenset({"task_id", "link", "link_error", "chord", "chain", "group_id"})


class Bulk:
    """A call of a method's task for many rows, which is checked and not sent yet."""

    def __init__(
        self,
        task: Any,
        model: type[models.Model],
        rows: Any,
        args: Any,
        kwargs: Mapping[str, Any] | None,
        batch_size: int | None,
        options: Mapping[str, Any],
    ) -> None:
        _check_options(task, batch_size, options)
        check_foreign(options.get("serializer") or task.serializer)
        self.task = task
        self.model = model
        self.rows = _checked_rows(task, model, rows)
        self.args = to_references(tuple(args or ()))
        self.kwargs = to_references(dict(kwargs or {}))
        if THIS in self.kwargs:
            raise TypeError(
                f"{task.name} was given {THIS}= for many rows. The rows come first, and alone."
            )
        if task.typing:
            task.__header__(*self.args, **{**self.kwargs, THIS: None})
        # Eager tasks run one by one, so that each has a result of its own.
        size = 1 if batch_size is None or task.app.conf.task_always_eager else batch_size
        is_kept = not options.get("ignore_result", task.ignore_result)
        self.result = BulkResult(uuid(), size, is_kept=is_kept, app=task.app)
        self.options = {
            "kwargsrepr": display.kwargs_text(self.kwargs, task.app.amqp.kwargsrepr_maxsize),
            **options,
            "add_to_parent": False,
            "stamped_headers": [*(options.get("stamped_headers") or ()), STAMP],
            STAMP: [self.result.id],
        }

    @property
    def using(self) -> str:
        """The database that the rows, or the first of them, are written to."""
        if isinstance(self.rows, models.QuerySet):
            return written_to(self.rows.model, self.rows.db)
        if isinstance(self.rows, (list, tuple)):
            for _, _, using in _keys(self.model, self.rows[:1]):
                return using
        return router.db_for_write(self.model)

    def send(self) -> BulkResult:
        """Send the messages. Raises ``BulkInterrupted`` if that ends after some of them."""
        result, eager = self.result, self.task.app.conf.task_always_eager
        options = self.options
        size = self.task.app.amqp.argsrepr_maxsize
        due = _due(options)
        try:
            with self.task.app.producer_or_acquire() as producer:
                for batch in _batches(_keys(self.model, self.rows), result.batch_size):
                    if result.messages == 0:
                        policy_of(self.task).check_dispatch(batch, self.task.name)
                    rows = batch if len(batch.pks) > 1 else batch.each()[0]
                    sent = self.task.apply_async(
                        self.args,
                        {**self.kwargs, THIS: rows.as_plain()},
                        task_id=message_id(result.id, result.messages),
                        producer=producer,
                        **{"argsrepr": display.args_text(rows, self.args, size), **options},
                    )
                    result.add(batch.pks, sent if eager else None)
                    result.sent_at = max(time.time(), due)
                    if result.messages == 1 and not eager:
                        options = self._unwatched()
        except Exception as error:
            if result.total == 0:
                raise
            raise BulkInterrupted(
                f"{self.task.name} was sent for {result.total:,} rows and not for the next: "
                f"{type(error).__name__}: {error} The result of those rows is this error's "
                "attribute result.",
                result,
            ) from error
        return result

    def _unwatched(self) -> dict[str, Any]:
        """Return the options of all messages but the first.

        Celery subscribes to a result whenever it sends a task, with a round trip to the
        backend and a channel for each, unless the result is ignored. A bulk asks for its
        results instead. What the worker goes by is the header, which says what was meant;
        what a backend sets up once (the reply queue of rpc) comes with the first message.
        """
        headers = {**(self.options.get("headers") or {}), "ignore_result": not self.result.is_kept}
        return {**self.options, "ignore_result": True, "headers": headers}


def as_group(
    task: Any, model: type[models.Model], rows: Any, args: Any, kwargs: Mapping[str, Any]
) -> group:
    """Return a group of signatures, one for each row."""
    args, kwargs = to_references(tuple(args)), to_references(dict(kwargs))
    found = _keys(model, _checked_rows(task, model, rows))
    return group(
        [
            task.signature(args, {**kwargs, THIS: ModelReference(label, key, using).as_plain()})
            for label, key, using in found
        ]
    )


def _due(options: Mapping[str, Any]) -> float:
    """Return when messages are to run, as ``time.time`` has it; 0 for at once."""
    eta: Any
    eta, countdown = options.get("eta"), options.get("countdown")
    if hasattr(eta, "timestamp"):
        return float(eta.timestamp())
    return time.time() + countdown if isinstance(countdown, (int, float)) else 0.0


def _check_options(task: Any, batch_size: Any, options: Mapping[str, Any]) -> None:
    if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise ValueError(
            f"{task.name}: batch_size is {batch_size!r}. It must be a whole number of rows, at "
            "least 1, or None for one message a row."
        )
    refused = sorted(_ONE_ONLY & options.keys())
    if refused:
        raise TypeError(
            f"{task.name} cannot be sent in bulk with {refused[0]}=, which is for one task. Use a "
            "group, as in chord(Model.method.group(rows), callback)."
        )
    # Also here, for what a schedule holds.
    publishing.check_options(task, options, "bulk_apply_async")


def _checked_rows(task: Any, model: type[models.Model], rows: Any) -> Any:
    if isinstance(rows, models.Manager):
        rows = rows.all()
    if isinstance(rows, models.QuerySet):
        if not issubclass(rows.model, model):
            raise InvalidModelTask(
                f"{task.name} takes rows of {model._meta.label}; it was given a queryset of "
                f"{rows.model._meta.label}.",
                task.name,
            )
        if not issubclass(rows._iterable_class, ModelIterable):
            raise UnsupportedKey(
                f"{task.name} takes rows; a values() or values_list() queryset has none. Leave "
                "that out, or pass a list of primary keys.",
                rows.model._meta.label,
            )
        return rows
    if isinstance(rows, (str, bytes, Mapping, models.Model)) or not isinstance(rows, Iterable):
        raise InvalidModelTask(
            f"{task.name} takes many rows: a queryset, or an iterable of instances or primary "
            f"keys. It was given {type(rows).__qualname__}. For one row there is delay().",
            task.name,
        )
    return rows


def _batches(keys: Iterable[tuple[str, Any, str]], size: int) -> Iterator[QuerySetReference]:
    """Give the keys ``size`` at a time, of one model and database; what is left over last."""
    pending: dict[tuple[str, str], list[Any]] = {}
    for label, key, using in keys:
        batch = pending.setdefault((label, using), [])
        batch.append(key)
        if len(batch) == size:
            yield QuerySetReference(label, tuple(batch), using)
            batch.clear()
    for (label, using), batch in pending.items():
        if batch:
            yield QuerySetReference(label, tuple(batch), using)


def _keys(model: type[models.Model], rows: Any) -> Iterator[tuple[str, Any, str]]:
    """Give label, primary key and database of each row, without loading rows."""
    if isinstance(rows, models.QuerySet):
        yield from _keys_of_queryset(rows)
        return
    pk, label, using = model._meta.pk, model._meta.label, router.db_for_write(model)
    for row in rows:
        if isinstance(row, models.Model):
            row = ModelReference.of(row)
        if isinstance(row, ModelReference):
            if not issubclass(row.model, model):
                raise InvalidModelTask(
                    f"Rows of {label} are sent, and {row!r} is none of them.", label
                )
            yield row.label, row.pk, row.using
            continue
        try:
            key = clean_key(pk, row)
        except (TypeError, ValueError, ValidationError) as error:
            raise UnsupportedKey(
                f"{row!r} is neither an instance nor a primary key of {label}.", type(row)
            ) from error
        yield label, key, using


def _keys_of_queryset(queryset: models.QuerySet[Any]) -> Iterator[tuple[str, Any, str]]:
    model = queryset.model
    label, pk, using = model._meta.label, model._meta.pk, written_to(model, queryset.db)
    query: Any = queryset.query
    has_order = query.order_by or query.extra_order_by or query.distinct_fields
    by_key = not (has_order or query.is_sliced or query.combinator)
    # A join may give a row twice. By their keys, the two come one after the other.
    repeats = len(query.alias_map) > 1 or query.combinator
    if by_key:
        queryset = queryset.order_by("pk")
    seen: set[Any] = set()
    for key in queryset.values_list("pk", flat=True).iterator(chunk_size=_CHUNK):
        if repeats:
            if key in seen:
                continue
            if by_key:
                seen.clear()
            seen.add(key)
        yield label, key if type(key) is int else clean_key(pk, key), using
