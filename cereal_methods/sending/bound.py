"""The bound method: what ``order.ship`` and ``Order.ship`` are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async

from ..celery_api.tasks import check_arguments
from ..exceptions import InvalidModelTask
from ..running import durability
from ..serializers.acceptance import check_foreign
from . import canvas, commits
from .arguments import message_arguments
from .bound_bulk import BulkMethods
from .bound_task import P, R_co
from .owner import owner_of
from .proxies import ProxyWithTask, public_names
from .validation import check_sending_options
from .wrong_arguments import raise_as_written

if TYPE_CHECKING:
    from celery import Signature
    from celery.canvas import group
    from celery.result import AsyncResult, EagerResult


class BoundModelTask(BulkMethods[P, R_co]):
    """A method task on an instance, a class or a manager: call it, or send it to a worker."""

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Send the method to a worker; it is a shortcut for ``apply_async`` without options.

        Raises ``TypeError`` if the arguments do not fit the method, and ``UnsavedInstance`` if an
        instance has no row.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Send the method to a worker, with the options of ``Task.apply_async``.

        With ``on_commit`` it does what ``apply_async_on_commit`` does.

        Raises ``TypeError`` if the arguments do not fit the method or an option does not exist,
        ``UnsavedInstance`` if an instance has no row, and ``InvalidModelTask`` if the method
        cannot be sent from here.
        """
        task = self.task
        if self._waits_for_commit(task):
            return self.apply_async_on_commit(args, kwargs, **options)
        if options:
            check_sending_options(task, options)
        _, sent_args, sent_kwargs = message_arguments(self, task, args, kwargs)
        check_foreign(options.get("serializer") or task.serializer)
        try:
            return task.apply_async(sent_args, sent_kwargs, **options)
        except TypeError as error:
            raise_as_written(self, error, "apply_async", args, kwargs)

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Send the method when the transaction commits.

        It is a shortcut for ``apply_async_on_commit`` without options.
        """
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        robust: bool = False,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Send the method when the transaction of the row's database commits.

        Outside a transaction it is sent at once. If the transaction rolls back, it is never
        sent. The result's id is known at once. ``robust`` is that of
        ``django.db.transaction.on_commit``: with it an error of sending is logged, and the other
        callbacks still run. The rest is as for ``apply_async``.
        """
        task = self.task
        if options:
            check_sending_options(task, options, "apply_async_on_commit")
        using, sent_args, sent_kwargs = message_arguments(self, task, args, kwargs)
        check_foreign(options.get("serializer") or task.serializer)
        if task.typing:
            try:
                check_arguments(task, sent_args, sent_kwargs)
            except TypeError as error:
                raise_as_written(self, error, "apply_async_on_commit", args, kwargs)
        result: AsyncResult[R_co] = commits.send_on_commit(
            task, sent_args, sent_kwargs, using, robust, options
        )
        return result

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult[R_co]:
        """Run the task in this process, on a fresh row, and return its result.

        ``options`` are those of ``Task.apply``. Raises ``TypeError`` if the arguments do not
        fit the method, and ``UnsavedInstance`` if an instance has no row.
        """
        task = self.task
        _, args, kwargs = message_arguments(self, task, args, kwargs)
        return task.apply(args, kwargs, **options)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Do what ``delay`` does, from a coroutine."""
        return await sync_to_async(self.delay)(*args, **kwargs)

    async def aapply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Do what ``apply_async`` does, from a coroutine."""
        return await sync_to_async(self.apply_async)(args, kwargs, **options)

    async def adelay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Do what ``delay_on_commit`` does, from a coroutine."""
        return await sync_to_async(self.delay_on_commit)(*args, **kwargs)

    async def aapply_async_on_commit(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Do what ``apply_async_on_commit`` does, from a coroutine."""
        return await sync_to_async(self.apply_async_on_commit)(args, kwargs, **options)

    def signature(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *starargs: Any,
        **starkwargs: Any,
    ) -> Signature[R_co]:
        """Return the signature of a call, which holds references and no instances.

        It takes what ``Task.signature`` takes. The arguments are checked when it is sent,
        because a chain may add the result of the task before.

        Raises ``TypeError`` if an option does not exist, ``UnsavedInstance`` if an instance has
        no row.
        """
        task = self.task
        for options in (*starargs[:1], starkwargs):
            if options:
                check_sending_options(task, options, "signature")
        _, args, kwargs = message_arguments(self, task, args, kwargs)
        return task.signature(args, kwargs, *starargs, **starkwargs)

    def s(self, *args: Any, **kwargs: Any) -> Signature[R_co]:
        """Return the signature of a call; it is a shortcut for ``signature`` without options."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R_co]:
        """Return an immutable signature, which ignores the result of the task before it."""
        return self.signature(args, kwargs, immutable=True)

    def map(self, it: Iterable[Any]) -> Signature[list[R_co]]:
        """Return the signature of one task that calls the method once for each item.

        Raises ``InvalidModelTask`` if the method is durable, or was not taken from an instance.
        """
        return self.starmap((item,) for item in it)

    def starmap(self, it: Iterable[Any]) -> Signature[list[R_co]]:
        """Return the signature of one task that calls the method with each tuple of arguments.

        Raises what ``map`` raises.
        """
        self._check_instance()
        signature: Signature[list[R_co]] = canvas.starmap(self.s(), it, self.task.serializer)
        return signature

    def chunks(self, it: Iterable[Any], n: int) -> group:
        """Return a group of tasks that each call the method with ``n`` tuples of arguments.

        Raises what ``map`` raises, and ``ValueError`` if ``n`` is less than 1.
        """
        self._check_instance()
        return canvas.chunks(self.s(), it, n, self.task.serializer)

    def _check_instance(self) -> None:
        durability.check_single(self.task)
        if self._takes_rows:
            name = self.__qualname__
            raise InvalidModelTask(
                f"map, starmap and chunks run {name} on one instance, with many arguments. From "
                f"the class there is no instance: for many there is {name}.bulk_delay(instances).",
                name,
            )

    def _offers(self) -> frozenset[str]:
        try:
            owner_of(self)
        except InvalidModelTask:
            return frozenset()
        return super()._offers() - (_FOR_ONE_ROW if self._takes_rows else _FOR_MANY_ROWS)


class BoundModelTaskWithTask(ProxyWithTask, BoundModelTask[P, R_co]):
    """A method task with ``bind=True``: a call passes the task, as Celery does."""


_FOR_ONE_ROW: Final = frozenset({"chunks", "map", "starmap"})
_FOR_MANY_ROWS: Final = public_names(vars(BulkMethods))
