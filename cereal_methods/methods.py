"""``@model_task``: a model's method that can also be sent to a worker."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

from django.apps import apps
from django.db import models
from django.db.models.signals import class_prepared
from django.utils.functional import cached_property
from wrapt import FunctionWrapper

from . import definitions, headers, tasks
from .bound import BoundModelTask, BoundModelTaskWithTask
from .exceptions import InvalidModelTask
from .policies import RowPolicy

if TYPE_CHECKING:
    from typing import Literal, Protocol

    import typing_extensions
    from celery import Task
    from typing_extensions import Never, Unpack

    from .options import BoundMethod, Method, MethodOptions

    class _Unbound:
        """What is used of wrapt's wrapper; its own types let any attribute through."""

        __qualname__: str
        __wrapped__: Any

        def __init__(self, wrapped: Any, wrapper: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    _Unbound = FunctionWrapper

# Of a method task: what its first parameter takes, and the rest of the method. Both vary
# with the class, so that a task may override another as methods do.
M_co = TypeVar("M_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)
M = TypeVar("M")
P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    Bind_co = typing_extensions.TypeVar(
        "Bind_co", Literal[True], Literal[False], default=Literal[False], covariant=True
    )

    class _Decorator(Protocol[Bind_co]):
        """``@model_task`` with options, among them ``bind`` or not."""

        @overload
        def __call__(
            self: _Decorator[Literal[False]], method: Method[M, P, R], /
        ) -> ModelTask[M, Callable[P, R]]: ...

        @overload
        def __call__(
            self: _Decorator[Literal[False]], method: Callable[[], R], /
        ) -> ModelTask[type[object], Callable[[], R]]: ...

        @overload
        def __call__(
            self: _Decorator[Literal[True]], method: BoundMethod[M, P, R], /
        ) -> ModelTask[M, Callable[P, R]]: ...


@overload
def model_task(method: Method[M, P, R], /) -> ModelTask[M, Callable[P, R]]: ...


# A static method without parameters, which is called as a class method is.
@overload
def model_task(method: Callable[[], R], /) -> ModelTask[type[object], Callable[[], R]]: ...


@overload
def model_task(
    *, bind: Bind_co = ..., base: None = ..., **options: Unpack[MethodOptions]
) -> _Decorator[Bind_co]: ...


@overload
def model_task(
    *, bind: Bind_co = ..., base: type[Task[Any, Any]], **options: Any
) -> _Decorator[Bind_co]: ...


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

    ``name``
        ``<module>.<Class>.<method>`` by default.
    ``aliases``
        Former names, under which messages still run.
    ``serializer``
        The setting ``CEREAL_METHODS["SERIALIZER"]`` by default.
    ``bind``
        Passes the Celery task to the method, after ``self``.
    ``on_commit``
        ``delay`` and ``apply_async`` wait for the transaction of the row's database to
        commit; ``ON_COMMIT`` by default.
    ``on_missing``
        When a row of the message is gone: ``"raise"`` its ``DoesNotExist``,
        ``"discard"`` the task (state ``IGNORED``), ``"retry"`` later, a limited number
        of times, or a function that is called with the ``DoesNotExist``: what it returns
        is the task's result, what it raises its failure (``Ignore`` discards the task).
        ``ON_MISSING`` by default.
    ``select_related``, ``prefetch_related``
        Names, as in Django; ``True`` for the first is what Django 6.1 deprecates.
    ``select_for_update``
        ``True``, or a dict of Django's options: the method runs in a transaction, with
        its row locked. If the row is locked by another, ``nowait`` puts the task off and
        ``skip_locked`` discards it. A batch's rows are locked one by one, unless
        ``"batch"`` is true: then together, in one transaction.
    ``manager``
        The name of the manager that fetches the row; the model's base manager by
        default.

    Raises ``InvalidModelTask`` if it stands on something that cannot be sent, if an
    option does not exist, or if its value has the wrong type.
    """
    if method is None:
        return functools.partial(model_task, **options)
    kind = ModelTaskWithTask if options.get("bind") else ModelTask
    return kind(method, options)


class ModelTask(_Unbound, Generic[M_co, F_co]):
    """The descriptor that ``@model_task`` leaves in the class."""

    __bound_function_wrapper__ = BoundModelTask

    def __init__(self, method: Any, options: Mapping[str, Any]) -> None:
        options = dict(options)
        bind = options.setdefault("bind", False)
        definitions.check_method(method, bind=bool(bind))
        definitions.check_options(method.__qualname__, options)
        RowPolicy.from_options(f"@model_task of {method.__qualname__}", dict(options))
        super().__init__(method, self._call_bound if bind else _call)
        self._self_options = options
        self._self_attribute = method.__name__
        self._self_models: list[type[models.Model]] = []
        class_prepared.connect(_on_class_prepared, dispatch_uid=__name__)

    if TYPE_CHECKING:
        # To mypy, self and cls are Never in a method that names typing.Self: its task is Any.
        # (None stands for Never, which a model passes for too where Django has no types.)
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

        @overload  # a static method: its first parameter is no instance of the class
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
        bind = options["bind"]
        signature = tasks.signature_of(method, takes_row=takes_row, bind=bind)
        options["__header__"] = headers.task_header(self.__qualname__, signature, bind=bind)
        name = self.task_name(model, manager.name if manager is not None else None)
        tasks.register(name, model, method, signature, takes_row=takes_row, **options)

    def _call_bound(
        self: ModelTask[Any, Any], method: Any, instance: Any, args: Any, kwargs: Any
    ) -> Any:
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


class ModelTaskWithTask(ModelTask[M_co, F_co]):
    """The descriptor of a model task with ``bind=True``."""

    __bound_function_wrapper__ = BoundModelTaskWithTask


_TASK_ATTRIBUTES: Final = frozenset(name for name in vars(BoundModelTask) if name[0] != "_")


def _call(method: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    return method(*args, **kwargs)


def _on_class_prepared(sender: type[models.Model], **kwargs: Any) -> None:
    # Once for every concrete model and proxy; migrations make models of their own.
    if sender._meta.apps is apps:
        for found in _model_tasks(sender):
            found.register(sender)
        for manager in sender._meta.managers:
            for found in _model_tasks(type(manager)):
                found.register(sender, manager)


def _model_tasks(owner: type) -> Iterator[ModelTask[Any, Any]]:
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


def _as_model_task(base: type, name: str, attribute: Any) -> ModelTask[Any, Any] | None:
    if isinstance(attribute, ModelTask):
        return attribute
    # What stands above it, if anything. Of decorators that use functools.wraps the task is
    # what they returned.
    inner, hides = attribute, None
    while not isinstance(inner, ModelTask):
        if type(inner) is FunctionType:
            inner = getattr(inner, "__wrapped__", None)
        else:
            hides = hides or inner
            inner = _hidden(inner)
        if inner is None:
            return None
    if hides is None:
        outer = type(inner)(attribute, inner._self_options)
        outer._self_attribute = name
        setattr(base, name, outer)
        return outer
    if any(other is inner for other in vars(base).values()):
        return None  # partialmethod(ship, "dhl"), and the like, beside ship itself
    kind = type(hides)
    decorator = "lru_cache" if kind is definitions.CACHE else kind.__name__
    remedy = (
        "Put @model_task first, and on a method."
        if isinstance(hides, classmethod | staticmethod)
        else f"Put @model_task on a method of its own, without @{decorator}."
    )
    raise InvalidModelTask(
        f"@model_task cannot be used here: @{decorator} stands above it on "
        f"{base.__qualname__}.{name}. {remedy}",
        name,
    )


#: Python's and Django's decorators that give no function, and where they keep what they decorate.
_HIDING: Final = {
    classmethod: "__func__",
    staticmethod: "__func__",
    property: "fget",
    functools.cached_property: "func",
    cached_property: "real_func",
    functools.partialmethod: "func",
    functools.singledispatchmethod: "func",
    definitions.CACHE: "__wrapped__",
}


def _hidden(attribute: Any) -> Any:
    """Return what a decorator of Python's or Django's stands above, if it is one."""
    for kind, inside in _HIDING.items():
        if issubclass(type(attribute), kind):
            return getattr(attribute, inside, None)
    return None


def _registered(model: type[models.Model]) -> list[type[models.Model]]:
    """Return the concrete models among ``model`` and its subclasses that Django knows."""
    known = set(apps.all_models[model._meta.app_label].values()) & {model}
    found = list(known)
    for child in model.__subclasses__():
        found.extend(_registered(child))
    return found
