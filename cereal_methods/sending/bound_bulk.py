"""The bound method's ways of sending for many rows: ``Order.ship.bulk_delay(orders)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from ..exceptions import InvalidModelTask
from . import bulk, commits, schedules
from .bound_task import BoundTask, P, R_co
from .owner import owner_of
from .wrong_arguments import raise_as_written

if TYPE_CHECKING:
    from celery import Signature
    from celery.canvas import group
    from django.db import models

    from ..results.bulk import BulkResult

M = TypeVar("M")
Q = ParamSpec("Q")


class BulkMethods(BoundTask[P, R_co]):
    """What the bound method on the class does for many rows."""

    def bulk_delay(
        self: BulkMethods[Concatenate[M, Q], R_co],
        rows: Iterable[M] | Iterable[Any],
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> BulkResult:
        """Send the method for many rows, with one message for each row.

        It is a shortcut for ``bulk_apply_async`` without options.
        """
        return self.bulk_apply_async(rows, args, kwargs)

    def bulk_apply_async(
        self,
        rows: Any,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        batch_size: int | None = None,
        **options: Any,
    ) -> BulkResult:
        """Send the method for many rows, and return one ``BulkResult`` for all of them.

        ``rows`` is a queryset, whose primary keys are streamed, or an iterable of instances or
        primary keys. Without ``batch_size`` there is one message for each row. With it a message
        has up to that many rows. They are fetched with one query and run one after the other,
        independently: if one fails, the others continue.

        ``options`` are those of ``Task.apply_async``, except those that concern one task:
        ``task_id``, ``link`` and ``link_error``. With ``on_commit`` the bulk waits for the
        transaction, as ``apply_async`` does.

        Raises ``InvalidModelTask`` if ``rows`` are not rows of the model, ``UnsupportedKey`` for
        a value that is not a primary key, ``UnsavedInstance`` for an instance without a row,
        ``TypeError`` if the arguments do not fit the method or an option does not exist,
        ``ValueError`` for an invalid ``batch_size``, and ``BulkInterrupted`` if only some of the
        messages could be sent.
        """
        bulk = self._bulk("bulk_apply_async", rows, args, kwargs, batch_size, options)
        if self._waits_for_commit(bulk.task):
            commits.on_commit(bulk.send, bulk.result, bulk.using)
            return bulk.result
        return bulk.send()

    def bulk_delay_on_commit(
        self: BulkMethods[Concatenate[M, Q], R_co],
        rows: Iterable[M] | Iterable[Any],
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> BulkResult:
        """Send the method for many rows when the transaction commits.

        It is a shortcut for ``bulk_apply_async_on_commit`` without options.
        """
        return self.bulk_apply_async_on_commit(rows, args, kwargs)

    def bulk_apply_async_on_commit(
        self,
        rows: Any,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        batch_size: int | None = None,
        robust: bool = False,
        **options: Any,
    ) -> BulkResult:
        """Send the method for many rows when the transaction commits.

        The transaction is that of the database that the first row is written to. The result has
        its id at once. A queryset's primary keys are read after the commit, and until then the
        result has no rows. ``robust`` is that of ``django.db.transaction.on_commit``. The rest
        is as for ``bulk_apply_async``.
        """
        bulk = self._bulk("bulk_apply_async_on_commit", rows, args, kwargs, batch_size, options)
        if bulk.is_durable:  # recorded in the transaction, and sent on commit
            return bulk.send()
        commits.on_commit(bulk.send, bulk.result, bulk.using, robust=robust)
        return bulk.result

    def group(
        self: BulkMethods[Concatenate[M, Q], R_co],
        rows: Iterable[M] | Iterable[Any],
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> group:
        """Return a group of the method's signatures, one for each row.

        ``rows`` are those of ``bulk_apply_async``; their keys are read at once. Raises what
        ``bulk_apply_async`` raises for rows, and ``InvalidModelTask`` from an instance.
        """
        task, model = self._task_and_model()
        return bulk.as_group(task, model, rows, args, kwargs)

    def bulk_s(
        self: BulkMethods[Concatenate[M, Q], R_co],
        rows: str,
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> Signature[str]:
        """Return the signature of a bulk over named rows.

        It is a shortcut for ``bulk_signature`` without options.
        """
        return self.bulk_signature(rows, args, kwargs)

    def bulk_signature(
        self,
        rows: str,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        batch_size: int | None = None,
        **options: Any,
    ) -> Signature[str]:
        """Return a signature that sends the method for the rows that a name stands for by then.

        It is meant for schedules, which cannot hold rows. ``rows`` names a method of the model's
        default manager that returns a queryset, or a manager: ``"unpaid"`` is
        ``Order.objects.unpaid()``, ``"archive.old"`` is ``Order.archive.old()``. The rest is
        as for ``bulk_apply_async``. The task's result is the id of a ``BulkResult``.

        Raises ``InvalidModelTask`` if the model has no such rows, ``TypeError`` if the arguments
        do not fit the method or an option does not exist.
        """
        task, _ = self._task_and_model()
        call = schedules.BulkCall(task.name, rows, args, kwargs, batch_size, options)
        try:
            return schedules.signature(task, call)
        except TypeError as error:
            raise_as_written(self, error, "bulk_signature", args, kwargs)

    def _bulk(
        self,
        call: str,
        rows: Any,
        args: Any,
        kwargs: Mapping[str, Any] | None,
        batch_size: int | None,
        options: Mapping[str, Any],
    ) -> bulk.Bulk:
        task, model = self._task_and_model()
        try:
            return bulk.Bulk(task, model, rows, args, kwargs, batch_size, options, call)
        except TypeError as error:
            raise_as_written(self, error, call, args, kwargs)

    def _task_and_model(self) -> tuple[Any, type[models.Model]]:
        if not self._takes_rows:
            raise InvalidModelTask(
                f"{self.__qualname__} cannot be sent for many rows from here. Send it from the "
                "class: Model.method.bulk_delay(rows).",
                self.__qualname__,
            )
        return self.task, owner_of(self)[0]
