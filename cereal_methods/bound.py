"""A method task as it is bound: called, looked at and sent."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    NoReturn,
    ParamSpec,
    TypeVar,
)

from asgiref.sync import sync_to_async
from django.db import models, router

from . import bulk, canvas, headers, periodic, publishing, tasks
from .exceptions import InvalidModelTask
from .policies import policy_of
from .proxies import Proxy, ProxyWithTask
from .references import THIS, ModelReference, from_plain, to_references
from .serializers.body import check_foreign

if TYPE_CHECKING:
    from celery import Signature, Task
    from celery.canvas import group
    from celery.result import AsyncResult, EagerResult

    from .tallies import BulkResult

M = TypeVar("M")
P = ParamSpec("P")
Q = ParamSpec("Q")
R_co = TypeVar("R_co", covariant=True)


class BoundModelTask(Proxy, Generic[P, R_co]):
    """A model task as it is found on an instance, a class or a manager."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Call the method, here and now."""

    @property
    def name(self) -> str:
        """The name of the Celery task: ``shop.models.Order.ship``."""
        found: str = self._self_parent.task_name(*self._owner())
        return found

    @property
    def task(self) -> Task[..., R_co]:
        """The Celery task, of the current app."""
        found: Task[..., R_co] = tasks.find(self.name)
        return found

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Send the method to a worker; shortcut of ``apply_async``, without its options.

        Raises ``TypeError`` if the arguments do not fit the method, and
        ``UnsavedInstance`` if an instance has no row.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Send the method to a worker, with the options of ``Task.apply_async``.

        Raises ``TypeError`` for an option that nobody takes.
        """
        task = self.task
        if self._waits_for_commit(task):
            return self.apply_async_on_commit(args, kwargs, **options)
        if options:
            publishing.check_options(task, options)
        _, sent_args, sent_kwargs = self._arguments(task, args, kwargs)
        check_foreign(options.get("serializer") or task.serializer)
        try:
            return task.apply_async(sent_args, sent_kwargs, **options)
        except TypeError as error:
            self._raise_as_written(error, "apply_async", args, kwargs)

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R_co]:
        """Send the method when the transaction of the row's database has committed."""
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        robust: bool = False,
        **options: Any,
    ) -> AsyncResult[R_co]:
        """Send the method when the transaction of the row's database has committed.

        Outside of a transaction it is sent at once; if the transaction rolls
        back, never. The result's id is known at once. ``robust`` is that of
        ``django.db.transaction.on_commit``: an error of sending is logged then, and
        does not keep other callbacks from running.
        """
        task = self.task
        if options:
            publishing.check_options(task, options, "apply_async_on_commit")
        using, sent_args, sent_kwargs = self._arguments(task, args, kwargs)
        check_foreign(options.get("serializer") or task.serializer)
        if task.typing:
            try:
                task.__header__(*sent_args, **sent_kwargs)  # type: ignore[attr-defined]
            except TypeError as error:
                self._raise_as_written(error, "apply_async_on_commit", args, kwargs)
        result: AsyncResult[R_co] = canvas.send_on_commit(
            task, sent_args, sent_kwargs, using, robust, options
        )
        return result

    def apply(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> EagerResult[R_co]:
        """Run the task here and now, on a fresh row, and wait for its result."""
        task = self.task
        _, args, kwargs = self._arguments(task, args, kwargs)
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
        """Return the signature of a call, which holds references and no instances."""
        task = self.task
        for options in (*starargs[:1], starkwargs):
            if options:
                publishing.check_options(task, options, "signature")
        _, args, kwargs = self._arguments(task, args, kwargs)
        return task.signature(args, kwargs, *starargs, **starkwargs)

    def s(self, *args: Any, **kwargs: Any) -> Signature[R_co]:
        """Return the signature of a call; shortcut of ``signature``."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R_co]:
        """Return a signature that takes no result of a task before it."""
        return self.signature(args, kwargs, immutable=True)

    def map(self, it: Iterable[Any]) -> Signature[list[R_co]]:
        """Return the signature of one task that calls the method once for each item."""
        return self.starmap((item,) for item in it)

    def starmap(self, it: Iterable[Any]) -> Signature[list[R_co]]:
        """Return the signature of one task that calls the method with each tuple of arguments."""
        self._need_row()
        call: Signature[list[R_co]] = canvas.starmap(self.s(), it, self.task.serializer)
        return call

    def chunks(self, it: Iterable[Any], n: int) -> group:
        """Return a group of tasks that each call the method with ``n`` tuples of arguments."""
        self._need_row()
        return canvas.chunks(self.s(), it, n, self.task.serializer)

    def bulk_delay(
        self: BoundModelTask[Concatenate[M, Q], R_co],
        rows: Iterable[M] | Iterable[Any],
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> BulkResult:
        """Send the method for many rows, a message each; shortcut of ``bulk_apply_async``."""
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
        """Send the method, found on the class, for many rows, and return one result for all.

        ``rows`` is a queryset, whose keys are streamed, or an iterable of instances or
        primary keys. Without ``batch_size`` each row has a message of its own; with it
        a message has so many rows, which are fetched with one query and run one after
        the other, each by itself: one that fails leaves the others alone.

        ``options`` are those of ``Task.apply_async``, but for those that concern one
        task: ``task_id``, ``link``, ``link_error``. With ``on_commit`` it waits for the
        transaction as ``apply_async`` does.

        Raises ``BulkInterrupted`` if it could send for some of the rows only.
        """
        bulk = self._bulk("bulk_apply_async", rows, args, kwargs, batch_size, options)
        if self._waits_for_commit(bulk.task):
            canvas.on_commit(bulk.send, bulk.result, bulk.using)
            return bulk.result
        return bulk.send()

    def bulk_delay_on_commit(
        self: BoundModelTask[Concatenate[M, Q], R_co],
        rows: Iterable[M] | Iterable[Any],
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> BulkResult:
        """Send the method for many rows when the transaction has committed."""
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
        """Send the method for many rows when the transaction has committed.

        The result has its id at once; a queryset's keys are read after the commit, and
        only then it has rows. The transaction is that of the database that the first
        row is written to.
        """
        bulk = self._bulk("bulk_apply_async_on_commit", rows, args, kwargs, batch_size, options)
        canvas.on_commit(bulk.send, bulk.result, bulk.using, robust=robust)
        return bulk.result

    def group(
        self: BoundModelTask[Concatenate[M, Q], R_co],
        rows: Iterable[M] | Iterable[Any],
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> group:
        """Return a group of the method's signatures, one for each row."""
        task, model = self._for_many()
        return bulk.as_group(task, model, rows, args, kwargs)

    def bulk_s(
        self: BoundModelTask[Concatenate[M, Q], R_co],
        rows: str,
        *args: Q.args,
        **kwargs: Q.kwargs,
    ) -> Signature[str]:
        """Return the signature of a bulk over named rows; shortcut of ``bulk_signature``."""
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
        """Return a signature that sends the method for the rows that have a name by then.

        It is for schedules, which hold names and no rows. ``rows`` names a method of the
        model's default manager that returns a queryset, or a manager: ``"unpaid"`` is
        ``Order.objects.unpaid()``, ``"archive.old"`` is ``Order.archive.old()``. The rest is
        that of ``bulk_apply_async``. Its result is the id of a ``BulkResult``.

        Raises ``InvalidModelTask`` if there are no such rows, ``TypeError`` if the arguments
        do not fit.
        """
        task, _ = self._for_many()
        publishing.check_options(task, options, "bulk_signature")
        try:
            return periodic.signature(task, rows, args, kwargs, batch_size, options)
        except TypeError as error:
            self._raise_as_written(error, "bulk_signature", args, kwargs)

    def _bulk(
        self,
        call: str,
        rows: Any,
        args: Any,
        kwargs: Mapping[str, Any] | None,
        batch_size: int | None,
        options: Mapping[str, Any],
    ) -> bulk.Bulk:
        task, model = self._for_many()
        publishing.check_options(task, options, call)
        try:
            return bulk.Bulk(task, model, rows, args, kwargs, batch_size, options)
        except TypeError as error:
            self._raise_as_written(error, call, args, kwargs)

    def _raise_as_written(
        self, error: TypeError, call: str, args: Any, kwargs: Mapping[str, Any] | None
    ) -> NoReturn:
        """Raise what is wrong with a call as its caller wrote it, or the error that came.

        The task's header, which found it, knows nothing of the instance that comes first
        where a method is sent from the class, and of options among the arguments.
        """
        signature, kwargs = inspect.signature(self), kwargs or {}
        better = publishing.misplaced(self.__qualname__, signature, call, kwargs)
        from_class = self._self_instance is None and self._self_parent.takes_row()
        if better is None and from_class and not call.startswith("bulk") and THIS not in kwargs:
            try:
                headers.header(self.__qualname__, signature)(*(args or ()), **kwargs)
            except TypeError as wrong:
                better = wrong
        if better is None:
            raise error
        raise better from None

    def _for_many(self) -> tuple[Any, type[models.Model]]:
        if self._self_instance is not None or not self._self_parent.takes_row():
            raise InvalidModelTask(
                f"{self.__qualname__} is sent for many rows from the class, and takes them: "
                "Model.method.bulk_delay(rows).",
                self.__qualname__,
            )
        return self.task, self._owner()[0]

    def _waits_for_commit(self, task: Any) -> bool:
        return tasks.waits_for_commit(task) and not task.app.conf.task_always_eager

    def _need_row(self) -> None:
        if self._self_instance is None and self._self_parent.takes_row():
            name = self.__qualname__
            raise InvalidModelTask(
                f"map, starmap and chunks run {name} on one instance, with many arguments. From "
                f"the class there is no instance: for many there is {name}.bulk_delay(instances).",
                name,
            )

    def _owner(self) -> tuple[type[models.Model], str | None]:
        """Return the model that the task belongs to, and the manager if it is one's.

        Raises ``InvalidModelTask`` where the method cannot be sent from.
        """
        instance = self._self_instance
        if isinstance(instance, models.Manager):
            return _sendable_manager(instance, self.__qualname__)
        model = self._self_owner if instance is None else type(instance)
        if not (isinstance(model, type) and issubclass(model, models.Model)):
            wrong = (
                f": {model.__qualname__} is no Django model. For functions and other classes there "
                "is cereal_methods.task."
            )
        elif model._meta.abstract:
            wrong = (
                f" from the abstract model {model.__qualname__}, which has no rows. Use it from a "
                "concrete model."
            )
        else:
            # super().ship.delay() in a method that overrides ship is the parent's task.
            for base in model.__mro__:
                if base in self._self_parent._self_models:
                    return base, None
            wrong = (
                f" for {model._meta.label}, which has no task for it: another method overrides it "
                "there, it was set on the class instead of with add_to_class(), or this is a "
                "historical model of a migration."
            )
        raise InvalidModelTask(f"{self.__qualname__} cannot be sent{wrong}", self.__qualname__)

    def _arguments(
        self, task: Any, args: Any, kwargs: Mapping[str, Any] | None
    ) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return the database that is written to and the arguments of the message.

        ``self`` is among them as ``this``; instances are references.
        """
        if not (args is None or isinstance(args, (list, tuple))):
            raise TypeError(
                f"The arguments of {self.__qualname__} must be a list or a tuple, and not a "
                f"{type(args).__qualname__}. Named ones are the second argument, a dict."
            )
        if not (kwargs is None or isinstance(kwargs, Mapping)):
            raise TypeError(
                f"The keyword arguments of {self.__qualname__} must be a dict, and not a "
                f"{type(kwargs).__qualname__}."
            )
        args, kwargs = tuple(args or ()), dict(kwargs or {})
        if not self._self_parent.takes_row(self._self_instance):
            using = router.db_for_write(self._owner()[0])
            return using, to_references(args), to_references(kwargs)
        instance = self._self_instance
        given = kwargs.pop(THIS, None)
        if instance is None and given is None and args:
            given, *args = args
        if instance is None or given is not None:
            reference = _reference_to(self._owner()[0], self.__qualname__, given)
            if instance is not None and reference != ModelReference.of(instance):
                raise InvalidModelTask(
                    f"{self.__qualname__} was given this={reference!r} on another instance. "
                    "On an instance, leave it out.",
                    self.__qualname__,
                )
        else:
            reference = ModelReference.of(instance)
        policy_of(task).check_dispatch(reference, task.name)
        kwargs = {**to_references(kwargs), THIS: reference.as_plain()}
        return reference.using, to_references(tuple(args)), kwargs

    def _offers(self) -> set[str]:
        try:
            self._owner()
        except InvalidModelTask:
            return set()
        is_for_many = self._self_instance is None and self._self_parent.takes_row()
        return super()._offers() - (_FOR_ONE if is_for_many else _FOR_MANY)


class BoundModelTaskWithTask(ProxyWithTask, BoundModelTask[P, R_co]):
    """A model task with ``bind=True``: a call passes the task, as Celery does."""


#: What is for a row, and for many of them.
_FOR_ONE: Final = frozenset({"chunks", "map", "starmap"})
_FOR_MANY: Final = frozenset(
    name for name in vars(BoundModelTask) if name == "group" or name.startswith("bulk_")
)


def _sendable_manager(
    manager: models.Manager[Any], method: str
) -> tuple[type[models.Model], str | None]:
    """Return a manager's model and name, if a worker finds the very same manager there."""
    model, name = manager.model, manager.name
    if (
        name is None
        or hasattr(manager, "instance")
        or manager._db is not None
        or getattr(model, name, None) != manager
    ):
        raise InvalidModelTask(
            f"{method} cannot be sent from this manager: a worker would not find it again. Send it "
            f"from the manager on the model itself, as in {model.__name__}.objects.",
            method,
        )
    return model, name


def _reference_to(model: type[models.Model], method: str, given: Any) -> ModelReference:
    """Return the reference that ``given`` is or stands for, which must be of ``model``."""
    plain = from_plain(given)
    reference = plain if isinstance(plain, ModelReference) else None
    if isinstance(given, ModelReference):
        reference = given
    elif isinstance(given, models.Model):
        reference = ModelReference.of(given)
    if reference is None or not issubclass(reference.model, model):
        found = "nothing" if given is None else reference or type(given).__qualname__
        raise InvalidModelTask(
            f"On the class, {method} takes an instance of {model._meta.label} first; it was given "
            f"{found}. Send it as instance.{method.rpartition('.')[2]}.delay(), or as "
            f"{method}.delay(instance).",
            method,
        )
    return reference
