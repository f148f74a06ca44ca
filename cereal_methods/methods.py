"""``@model_task``: a model's method that can also be sent to a worker."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import models, router
from django.db.models.signals import class_prepared
from wrapt import BoundFunctionWrapper, FunctionWrapper

from . import canvas, conf, definitions, tasks
from .arguments import THIS
from .exceptions import InvalidModelTask
from .policies import RowPolicy, policy_of
from .references import ModelReference, from_plain, to_references

if TYPE_CHECKING:
    from typing import TypeAlias

    from celery import Signature, Task
    from celery.canvas import group
    from celery.result import AsyncResult, EagerResult

    _Bound: TypeAlias = BoundFunctionWrapper[Any, Any]
    _Unbound: TypeAlias = FunctionWrapper[Any, Any]
else:
    # wrapt 1 has no generic classes.
    _Bound, _Unbound = BoundFunctionWrapper, FunctionWrapper

M = TypeVar("M")
P = ParamSpec("P")
R = TypeVar("R")


@overload
def model_task(method: Callable[Concatenate[M, P], R], /) -> ModelTask[M, P, R]: ...


@overload
def model_task(
    *, bind: bool = False, **options: Any
) -> Callable[[Callable[Concatenate[M, P], R]], ModelTask[M, P, R]]: ...


def model_task(method: Any = None, /, **options: Any) -> Any:
    """Make a model's method a Celery task as well.

    Called, it is the method as ever. ``delay``, ``apply_async``, ``apply``,
    ``s``, ``si`` and ``signature`` are those of a Celery task: on an instance
    they send the instance along, on the class they take it first::

        order.ship("dhl")
        order.ship.delay("dhl")
        Order.ship.delay(order, "dhl")

    The worker fetches the row afresh before the method begins. Each concrete
    model that inherits the method has a task of its own. Class methods and
    methods of a model's managers can be tasks too; they send no row.

    Bare, or with options: all of Celery's for tasks, and these.

    ``name``            ``<module>.<Class>.<method>`` by default.
    ``aliases``         former names, under which messages still run.
    ``serializer``      the setting ``CEREAL_METHODS["SERIALIZER"]`` by default.
    ``bind``            passes the Celery task to the method, after ``self``.
    ``on_commit``       ``delay`` and ``apply_async`` wait for the transaction of the
                        row's database to commit; ``ON_COMMIT`` by default.
    ``on_missing``      when a row of the message is gone: ``"raise"`` its
                        ``DoesNotExist``, ``"discard"`` the task (state ``IGNORED``),
                        ``"retry"`` later, a limited number of times, or a function
                        that is called with the ``DoesNotExist`` before the task is
                        discarded. ``ON_MISSING`` by default.
    ``select_related``, ``prefetch_related``
                        names, or ``True`` for the first, as in Django.
    ``select_for_update``
                        ``True``, or a dict of Django's options: the method runs in a
                        transaction, with its row locked. If the row is locked by
                        another, ``nowait`` puts the task off and ``skip_locked``
                        discards it.
    ``manager``         the name of the manager that fetches the row; the model's
                        base manager by default.

    Raises ``InvalidModelTask`` where it stands on something that cannot be sent,
    or has an option that does not exist.
    """
    if method is None:
        return partial(model_task, **options)
    return ModelTask(method, options)


class BoundModelTask(_Bound, Generic[P, R]):
    """A model task as it is found on an instance, a class or a manager."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the method, here and now."""

    @property
    def name(self) -> str:
        """The name of the Celery task: ``shop.models.Order.ship``."""
        found: str = self._self_parent.task_name(*self._owner())
        return found

    @property
    def task(self) -> Task[Any, Any]:
        """The Celery task, of the current app."""
        found: Task[Any, Any] = tasks.find(self.name)
        return found

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the method to a worker; shortcut of ``apply_async``.

        Raises ``TypeError`` if the arguments do not fit the method, and
        ``UnsavedInstance`` if an instance has no row.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Send the method to a worker, with the options of ``Task.apply_async``."""
        task = self.task
        on_commit = task.on_commit  # type: ignore[attr-defined]
        if on_commit is None:
            on_commit = conf.get("ON_COMMIT")
        if on_commit and not task.app.conf.task_always_eager:
            return self.apply_async_on_commit(args, kwargs, **options)
        _, args, kwargs = self._arguments(task, args, kwargs)
        return task.apply_async(args, kwargs, **options)

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the method when the transaction of the row's database has committed."""
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        robust: bool = False,
        **options: Any,
    ) -> AsyncResult[R]:
        """Send the method when the transaction of the row's database has committed.

        Outside of a transaction it is sent at once; if the transaction rolls
        back, never. The result's id is known at once. ``robust`` is that of
        ``django.db.transaction.on_commit``: an error of sending is logged then, and
        does not keep other callbacks from running.
        """
        task = self.task
        using, args, kwargs = self._arguments(task, args, kwargs)
        if task.typing:
            task.__header__(*args, **kwargs)  # type: ignore[attr-defined]
        result: AsyncResult[R] = canvas.send_on_commit(task, args, kwargs, using, robust, options)
        return result

    def apply(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult[R]:
        """Run the task here and now, on a fresh row, and wait for its result."""
        task = self.task
        _, args, kwargs = self._arguments(task, args, kwargs)
        return task.apply(args, kwargs, **options)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Do what ``delay`` does, from a coroutine."""
        return await sync_to_async(self.delay)(*args, **kwargs)

    async def aapply_async(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Do what ``apply_async`` does, from a coroutine."""
        return await sync_to_async(self.apply_async)(args, kwargs, **options)

    async def adelay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Do what ``delay_on_commit`` does, from a coroutine."""
        return await sync_to_async(self.delay_on_commit)(*args, **kwargs)

    async def aapply_async_on_commit(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Do what ``apply_async_on_commit`` does, from a coroutine."""
        return await sync_to_async(self.apply_async_on_commit)(args, kwargs, **options)

    def signature(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        *starargs: Any,
        **starkwargs: Any,
    ) -> Signature[R]:
        """Return the signature of a call, which holds references and no instances."""
        task = self.task
        _, args, kwargs = self._arguments(task, args, kwargs)
        return task.signature(args, kwargs, *starargs, **starkwargs)

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return the signature of a call; shortcut of ``signature``."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return a signature that takes no result of a task before it."""
        return self.signature(args, kwargs, immutable=True)

    def map(self, it: Any) -> Signature[list[R]]:
        """Return the signature of one task that calls the method once for each item."""
        return self.starmap((item,) for item in it)

    def starmap(self, it: Any) -> Signature[list[R]]:
        """Return the signature of one task that calls the method with each tuple of arguments."""
        call: Signature[list[R]] = canvas.starmap(self.s(), it, self.task.serializer)
        return call

    def chunks(self, it: Any, n: int) -> group:
        """Return a group of tasks that each call the method with ``n`` tuples of arguments."""
        return canvas.chunks(self.s(), it, n, self.task.serializer)

    def _owner(self) -> tuple[type[models.Model], str | None]:
        """Return the model that the task belongs to, and the manager if it is one's.

        Raises ``InvalidModelTask`` where the method cannot be sent from.
        """
        instance = self._self_instance
        if isinstance(instance, models.Manager):
            return _sendable_manager(instance, self.__qualname__)
        model = self._self_owner if instance is None else type(instance)
        wrong = None
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
                "there, or it was set on the class instead of with add_to_class()."
            )
        raise InvalidModelTask(f"{self.__qualname__} cannot be sent{wrong}", self.__qualname__)

    def _arguments(
        self, task: Any, args: Any, kwargs: Mapping[str, Any] | None
    ) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return the database that is written to and the arguments of the message.

        ``self`` is among them as ``this``; instances are references.
        """
        args, kwargs = tuple(args or ()), dict(kwargs or {})
        if not self._self_parent.takes_row(self._self_instance):
            using = router.db_for_write(self._owner()[0])
            return using, to_references(args), to_references(kwargs)
        model, instance = self._owner()[0], self._self_instance
        given = kwargs.pop(THIS, None)
        if instance is None and given is None and args:
            given, *args = args
        if instance is None or given is not None:
            reference = _reference_to(model, self.__qualname__, given)
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

    def __copy__(self) -> BoundModelTask[P, R]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # As Python's own bound methods do; wrapt leaves these decisions to subclasses.
        if self._self_instance is None:
            return self
        return getattr(copy.deepcopy(self._self_instance, memo), self._self_parent._self_attribute)

    def __reduce_ex__(self, protocol: Any) -> Any:
        found = self._self_owner if self._self_instance is None else self._self_instance
        return getattr, (found, self._self_parent._self_attribute)


class ModelTask(_Unbound, Generic[M, P, R]):
    """The descriptor that ``@model_task`` leaves in the class."""

    __bound_function_wrapper__ = BoundModelTask

    def __init__(self, method: Callable[Concatenate[M, P], R], options: dict[str, Any]) -> None:
        options = dict(options)
        bind = options.setdefault("bind", False)
        definitions.check_method(method, bind=bind)
        definitions.check_options(method.__qualname__, options)
        RowPolicy.from_options(f"@model_task of {method.__qualname__}", dict(options))
        super().__init__(method, self._call_bound if bind else _call)
        self._self_options = options
        self._self_attribute = method.__name__
        self._self_models: list[type[models.Model]] = []
        class_prepared.connect(_on_class_prepared, dispatch_uid=__name__)

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __get__(
            self, instance: None, owner: type[M]
        ) -> BoundModelTask[Concatenate[M, P], R]: ...

        @overload
        def __get__(self, instance: M, owner: type[M]) -> BoundModelTask[P, R]: ...

        def __get__(self, instance: Any, owner: Any) -> Any: ...

    def __set_name__(self, owner: type, name: str) -> None:
        self._self_attribute = name
        if issubclass(owner, models.QuerySet):
            raise InvalidModelTask(
                f"@model_task cannot be used here: {self.__qualname__} is a method of a queryset, "
                "which cannot be sent. Put it on a manager, or on the model to send it for rows.",
                self.__qualname__,
            )

    def contribute_to_class(self, model: type[models.Model], name: str) -> None:
        """Become an attribute of a model; ``Model.add_to_class`` calls it at any time."""
        self._self_attribute = name
        setattr(model, name, self)
        for concrete in _registered(model):
            self.register(concrete)

    def takes_row(self, instance: Any = None) -> bool:
        """Tell whether the method's first parameter is a row, and not a class or manager."""
        return not isinstance(self.__wrapped__, classmethod | staticmethod) and not isinstance(
            instance, models.Manager
        )

    def task_name(self, model: type[models.Model], manager: str | None = None) -> str:
        """Return the name of the method's task on a model or one of its managers."""
        name: str | None = self._self_options.get("name")
        path = (self._self_attribute,) if manager is None else (manager, self._self_attribute)
        return name or tasks.task_name(model, *path)

    def register(
        self, model: type[models.Model], manager: models.Manager[Any] | None = None
    ) -> None:
        """Register the method's Celery task for a concrete model, or for a manager of it."""
        method, takes_row = self.__wrapped__, self.takes_row(manager)
        options = {key: value for key, value in self._self_options.items() if key != "name"}
        if any(issubclass(model, parent) for parent in self._self_models):
            # Names that are given are the parent's task's, which runs for its children too.
            if "name" in self._self_options:
                return
            options.pop("aliases", None)
        self._self_models.append(model)
        if not takes_row:
            method = method.__get__(manager, model)
        signature = tasks.signature_of(method, takes_row=takes_row, bind=options["bind"])
        name = self.task_name(model, manager.name if manager is not None else None)
        tasks.register(name, model, method, signature, takes_row=takes_row, **options)

    def _call_bound(self, method: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Call a method with ``bind=True`` directly: with its task, as Celery does."""
        if instance is None:  # not bound: a decorator above calls what it wraps
            return method(*args, **kwargs)
        owner = instance if isinstance(instance, type) else type(instance)
        bound = self.__get__(None if owner is instance else instance, owner)
        return method(bound.task, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in _TASK_ATTRIBUTES:
            raise InvalidModelTask(
                f"{self.__qualname__} cannot be sent: @model_task belongs on a method in the body "
                "of a Django model. For functions there is cereal_methods.task.",
                self.__qualname__,
            )
        return super().__getattr__(name)


_TASK_ATTRIBUTES: Final = frozenset(name for name in vars(BoundModelTask) if name[0] != "_")


def _call(method: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return method(*args, **kwargs)


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
    reference = from_plain(given)
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


def _on_class_prepared(sender: type[models.Model], **kwargs: Any) -> None:
    # Once for every concrete model and proxy; migrations make models of their own.
    if sender._meta.apps is apps:
        for found in _model_tasks(sender):
            found.register(sender)
        for manager in sender._meta.managers:
            for found in _model_tasks(type(manager)):
                found.register(sender, manager)


def _model_tasks(owner: type) -> Iterator[ModelTask[Any, Any, Any]]:
    """Give the model tasks that are attributes of a class, inherited ones included."""
    seen: set[str] = set()
    given: set[int] = set()  # a method may have two names
    for base in owner.__mro__:
        for name, attribute in list(vars(base).items()):
            found = _as_model_task(base, name, attribute) if name not in seen else None
            if found is not None and id(found) not in given:
                given.add(id(found))
                yield found
        seen.update(vars(base))


def _as_model_task(base: type, name: str, attribute: Any) -> ModelTask[Any, Any, Any] | None:
    if isinstance(attribute, ModelTask):
        return attribute
    hidden = getattr(attribute, "__func__", getattr(attribute, "fget", None))
    if isinstance(hidden, ModelTask):
        raise InvalidModelTask(
            f"@model_task cannot be used here: @{type(attribute).__name__} stands above it on "
            f"{base.__qualname__}.{name}. Put @model_task first, and on a method.",
            name,
        )
    # A decorator above that uses functools.wraps: the task is what it returned.
    inner = attribute
    while type(inner) is FunctionType and hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
        if isinstance(inner, ModelTask):
            outer: ModelTask[Any, Any, Any] = ModelTask(attribute, inner._self_options)
            outer._self_attribute = name
            setattr(base, name, outer)
            return outer
    return None


def _registered(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the concrete models among ``model`` and its subclasses that Django knows."""
    known = set(apps.all_models[model._meta.app_label].values()) & {model}
    found = list(known)
    for child in model.__subclasses__():
        found.extend(_registered(child))
    return found
