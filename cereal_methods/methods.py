"""``@model_task``: a model's method that can also be sent to a worker."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from django.apps import apps
from django.db import models
from django.db.models.signals import class_prepared
from wrapt import BoundFunctionWrapper, FunctionWrapper

from . import tasks
from .arguments import THIS
from .exceptions import InvalidModelTask
from .references import ModelReference, from_plain

if TYPE_CHECKING:
    from typing import TypeAlias

    from celery import Signature, Task
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

    The worker fetches the row afresh before the method begins. The task is
    named ``<module>.<Class>.<method>``, and each concrete model that inherits
    the method has its own.

    Bare, or with options: all of Celery's for tasks, with these differences.

    ``serializer``  the setting ``CEREAL_METHODS["SERIALIZER"]`` by default.
    ``bind``        passes the Celery task to the method, after ``self``.

    Raises ``InvalidModelTask`` where it stands on something that is no method.
    """
    if method is None:
        return partial(model_task, **options)
    return ModelTask(method, options)


class BoundModelTask(_Bound, Generic[P, R]):
    """A model task as it is found on an instance or on the class."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
            """Call the method, here and now."""

    @property
    def name(self) -> str:
        """The name of the Celery task: ``shop.models.Order.ship``."""
        return tasks.task_name(self._model(), self._self_parent._self_attribute)

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
        args, kwargs = self._arguments(args, kwargs)
        return self.task.apply_async(args, kwargs, **options)

    def apply(
        self, args: Any = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> EagerResult[R]:
        """Run the task here and now, on a fresh row, and wait for its result."""
        args, kwargs = self._arguments(args, kwargs)
        return self.task.apply(args, kwargs, **options)

    def signature(
        self,
        args: Any = None,
        kwargs: Mapping[str, Any] | None = None,
        *starargs: Any,
        **starkwargs: Any,
    ) -> Signature[R]:
        """Return the signature of a call, which holds references and no instances."""
        args, kwargs = self._arguments(args, kwargs)
        return self.task.signature(args, kwargs, *starargs, **starkwargs)

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return the signature of a call; shortcut of ``signature``."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return a signature that takes no result of a task before it."""
        return self.signature(args, kwargs, immutable=True)

    def _model(self) -> type[models.Model]:
        """Return the model that the task belongs to, or raise ``InvalidModelTask``."""
        instance = self._self_instance
        model = self._self_owner if instance is None else type(instance)
        if not (isinstance(model, type) and issubclass(model, models.Model)):
            raise InvalidModelTask(
                f"{self.__qualname__} cannot be sent: {model.__qualname__} is no Django model. "
                "For functions and other classes there is cereal_methods.task.",
                self.__qualname__,
            )
        if model._meta.abstract:
            raise InvalidModelTask(
                f"{self.__qualname__} cannot be sent from the abstract model "
                f"{model.__qualname__}, which has no rows. Use it from a concrete model.",
                self.__qualname__,
            )
        return model

    def _arguments(
        self, args: Any, kwargs: Mapping[str, Any] | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of the message; ``self`` is among them as ``this``."""
        model, instance = self._model(), self._self_instance
        args, kwargs = tuple(args or ()), dict(kwargs or {})
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
        return tasks.arguments_for(reference, args, kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As Python's own bound methods do; wrapt leaves the decision to subclasses.
        found = self._self_owner if self._self_instance is None else self._self_instance
        return getattr, (found, self._self_parent._self_attribute)


class ModelTask(_Unbound, Generic[M, P, R]):
    """The descriptor that ``@model_task`` leaves in the class."""

    __bound_function_wrapper__ = BoundModelTask

    def __init__(self, method: Callable[Concatenate[M, P], R], options: dict[str, Any]) -> None:
        _check_method(method, bind=bool(options.get("bind")))
        super().__init__(method, _call_with_task if options.get("bind") else _call)
        self._self_options = options
        self._self_attribute = method.__name__
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

    def contribute_to_class(self, model: type[models.Model], name: str) -> None:
        """Become an attribute of a model; ``Model.add_to_class`` calls it at any time."""
        self._self_attribute = name
        setattr(model, name, self)
        for concrete in _registered(model):
            self.register(concrete)

    def register(self, model: type[models.Model]) -> None:
        """Register the method's Celery task for a concrete model."""
        tasks.register(model, self._self_attribute, self.__wrapped__, **self._self_options)

    def __getattr__(self, name: str) -> Any:
        if name in _TASK_ATTRIBUTES:
            raise InvalidModelTask(
                f"{self.__qualname__} cannot be sent: @model_task belongs on a method in the body "
                "of a Django model. For functions there is cereal_methods.task.",
                self.__qualname__,
            )
        return super().__getattr__(name)


_TASK_ATTRIBUTES = frozenset(name for name in vars(BoundModelTask) if not name.startswith("_"))


def _call(method: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return method(*args, **kwargs)


def _call_with_task(method: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    name = tasks.task_name(type(instance), method.__name__)
    return method(tasks.find(name), *args, **kwargs)


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
        seen: set[str] = set()
        for base in sender.__mro__:
            for name, attribute in vars(base).items():
                if isinstance(attribute, ModelTask) and name not in seen:
                    attribute.register(sender)
            seen.update(vars(base))


def _registered(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the concrete models among ``model`` and its subclasses that Django knows."""
    known = set(apps.all_models[model._meta.app_label].values()) & {model}
    found = list(known)
    for child in model.__subclasses__():
        found.extend(_registered(child))
    return found


def _check_method(method: Any, *, bind: bool) -> None:
    name = getattr(method, "__qualname__", repr(method))
    wrong = None
    if isinstance(method, (staticmethod, classmethod, property)):
        kind = type(method).__name__
        wrong = f"is a {kind}. It needs an instance: decorate a plain method"
        name = getattr(getattr(method, "__func__", None), "__qualname__", name)
    elif isinstance(method, type) or not callable(method) or not hasattr(method, "__get__"):
        wrong = f"is a {type(method).__name__} and no method. Decorate a function in a model's body"
    elif inspect.iscoroutinefunction(method):
        wrong = "is a coroutine function, which Celery cannot run. Wrap it with async_to_sync"
    else:
        parameters = list(inspect.signature(method).parameters.values())
        positional = [
            parameter
            for parameter in parameters
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        if not positional:
            wrong = "takes no self. Decorate a method with self as its first parameter"
        elif bind and len(positional) < 2:
            wrong = "takes no task. With bind=True the task comes second: def method(self, task)"
        elif any(parameter.name == THIS for parameter in parameters):
            wrong = f"has a parameter {THIS!r}, under which self travels. Rename it"
    if wrong:
        raise InvalidModelTask(f"@model_task cannot be used here: {name} {wrong}.", name)
