"""The descriptor that ``@model_task`` leaves in the class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from django.db import models
from wrapt import FunctionWrapper

from ..celery_api.tasks import HEADER
from ..django_api.models import registered_model
from ..exceptions import InvalidModelTask
from . import definitions, headers, method_tasks, registry, validation
from .bound import BoundModelTask, BoundModelTaskWithTask
from .proxies import Proxy, public_names

if TYPE_CHECKING:
    from typing import Never

    class _Unbound:
        """The part of wrapt's wrapper that is used; its own types allow any attribute."""

        __qualname__: str
        __wrapped__: Any

        def __init__(self, wrapped: Any, wrapper: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    _Unbound = FunctionWrapper

# What the first parameter takes, and the rest of the method. Both are covariant, so that a method
# task can override another as methods do.
M_co = TypeVar("M_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)
M = TypeVar("M")
P = ParamSpec("P")
R = TypeVar("R")


class ModelTask(_Unbound, Generic[M_co, F_co]):
    """A method in the class's ``__dict__`` that can also be sent to a worker."""

    __bound_function_wrapper__ = BoundModelTask

    def __init__(self, method: Any, options: Mapping[str, Any]) -> None:
        options = {"bind": False, **options}
        bind = options["bind"]
        definitions.check_method(method, bind=bool(bind))
        validation.check_method_options(method.__qualname__, options)
        super().__init__(method, self._call_with_task if bind else _call)
        self._self_options = options
        self._self_attribute = method.__name__
        #: The models that have a task of the method.
        self._self_models: list[type[models.Model]] = []

    if TYPE_CHECKING:
        # In a method that names typing.Self, mypy takes self for Never and cls for type[Never].
        # Its task has the type Any, as it would otherwise accept no arguments. None stands for
        # Never here, because an untyped model would pass for Never as well.
        @overload
        def __get__(
            self: ModelTask[None, Any] | ModelTask[type[None], Callable[..., list[Never]]],
            instance: Any,
            owner: Any,
            /,
        ) -> BoundModelTask[..., Any]: ...

        @overload  # a class method
        def __get__(
            self: ModelTask[M, Callable[P, R]], instance: Any, owner: M, /
        ) -> BoundModelTask[P, R]: ...

        @overload
        def __get__(
            self: ModelTask[M, Callable[P, R]], instance: None, owner: Any, /
        ) -> BoundModelTask[Concatenate[M, P], R]: ...

        @overload
        def __get__(
            self: ModelTask[M, Callable[P, R]], instance: M, owner: Any, /
        ) -> BoundModelTask[P, R]: ...

        @overload  # a static method, whose first parameter is not an instance of the class
        def __get__(
            self: ModelTask[M, Callable[P, R]], instance: object, owner: Any, /
        ) -> BoundModelTask[Concatenate[M, P], R]: ...

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
        for concrete in _installed(model):
            self.register(concrete)

    def takes_row(self, instance: Any = None) -> bool:
        """Whether the method's first parameter is a row, and not a class or manager."""
        return not isinstance(self.__wrapped__, classmethod | staticmethod) and not isinstance(
            instance, models.Manager
        )

    def task_name(self, model: type[models.Model], manager: str | None = None) -> str:
        """Return the name of the method's task on a model or one of its managers."""
        name: str | None = self._self_options.get("name")
        return name or registry.task_name(model, self._path(manager))

    def _path(self, manager: str | None) -> str:
        attribute: str = self._self_attribute
        return attribute if manager is None else f"{manager}.{attribute}"

    def register(
        self, model: type[models.Model], manager: models.Manager[Any] | None = None
    ) -> None:
        """Register the method's Celery task for a concrete model, or for one of its managers."""
        method, takes_row = self.__wrapped__, self.takes_row(manager)
        options = {key: value for key, value in self._self_options.items() if key != "name"}
        if any(issubclass(model, parent) for parent in self._self_models):
            # name= and aliases= name the parent's task, which runs for its children too.
            if "name" in self._self_options:
                return
            options.pop("aliases", None)
        self._self_models.append(model)
        if not takes_row:
            method = method.__get__(manager, model)
        bind, manager_name = options["bind"], None if manager is None else manager.name
        signature = headers.task_signature(method, takes_row=takes_row)
        options[HEADER] = headers.task_header(self.__qualname__, signature, bind=bind)
        name = self.task_name(model, manager_name)
        registry.register(name, model, method, signature, takes_row=takes_row, **options)
        runs_on: Any = "row" if takes_row else "class" if manager is None else "manager"
        aliases = tuple(options.get("aliases", ()))
        method_tasks.add(
            method_tasks.MethodTask(model, self._path(manager_name), runs_on, name, aliases)
        )

    def _call_with_task(
        self: ModelTask[Any, Any], method: Any, instance: Any, args: Any, kwargs: Any
    ) -> Any:
        """Call a method with ``bind=True`` directly, with its task, as Celery does."""
        if instance is None:  # a decorator above calls the function that it wraps
            return method(*args, **kwargs)
        owner = instance if isinstance(instance, type) else type(instance)
        bound = self.__get__(None if owner is instance else instance, owner)
        return method(bound.task, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in _BOUND_ATTRIBUTES:
            raise InvalidModelTask(
                f"{self.__qualname__} cannot be sent: @model_task belongs on a method in the body "
                "of a Django model. For functions there is cereal_methods.task.",
                self.__qualname__,
            )
        return super().__getattr__(name)


class ModelTaskWithTask(ModelTask[M_co, F_co]):
    """The descriptor of a method task with ``bind=True``."""

    __bound_function_wrapper__ = BoundModelTaskWithTask


_BOUND_ATTRIBUTES: Final = public_names(
    name for kind in BoundModelTask.__mro__ if issubclass(kind, Proxy) for name in vars(kind)
)


def _call(method: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return method(*args, **kwargs)


def _installed(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the concrete models among ``model`` and its subclasses that Django has prepared."""
    installed = [model] if registered_model(model._meta.label) is model else []
    for child in model.__subclasses__():
        installed.extend(_installed(child))
    return installed
