"""``@model_task``: a model's method that can also be sent to a worker."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from . import discovery
from .descriptor import ModelTask, ModelTaskWithTask

if TYPE_CHECKING:
    from typing import Literal, Protocol, Unpack

    import typing_extensions
    from celery import Task

    from .options import BoundMethod, Method, MethodOptions

    # Type variables of typing have defaults from Python 3.13 on. With overloads for True and False
    # in its place, @model_task(**options) would be ambiguous.
    Bind_co = typing_extensions.TypeVar(
        "Bind_co", Literal[True], Literal[False], default=Literal[False], covariant=True
    )

M = TypeVar("M")
P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:

    class _Decorator(Protocol[Bind_co]):
        """``@model_task`` with options, of which ``bind`` changes the method's parameters."""

        @overload
        def __call__(
            self: _Decorator[Literal[False]], method: Method[M, P, R], /
        ) -> ModelTask[M, Callable[P, R]]: ...

        @overload  # a static method without parameters
        def __call__(
            self: _Decorator[Literal[False]], method: Callable[[], R], /
        ) -> ModelTask[type[object], Callable[[], R]]: ...

        @overload
        def __call__(
            self: _Decorator[Literal[True]], method: BoundMethod[M, P, R], /
        ) -> ModelTask[M, Callable[P, R]]: ...


@overload
def model_task(method: Method[M, P, R], /) -> ModelTask[M, Callable[P, R]]: ...


@overload  # a static method without parameters
def model_task(method: Callable[[], R], /) -> ModelTask[type[object], Callable[[], R]]: ...


@overload
def model_task(
    *, bind: Bind_co = ..., base: None = ..., **options: Unpack[MethodOptions]
) -> _Decorator[Bind_co]: ...


@overload  # a task class can have options of its own
def model_task(
    *, bind: Bind_co = ..., base: type[Task[Any, Any]], **options: Any
) -> _Decorator[Bind_co]: ...


def model_task(method: Any = None, /, **options: Any) -> Any:
    """Make a model's method a Celery task as well.

    A call runs the method in this process, as before. ``delay``, ``apply_async``, ``apply``,
    ``s``, ``si`` and ``signature`` are those of a Celery task. On an instance they send the
    instance along; on the class they take it first::

        order.ship("dhl")
        order.ship.delay("dhl")
        Order.ship.delay(order, "dhl")

    The worker fetches the row before it calls the method. Each concrete model that inherits the
    method has its own task. Class methods, static methods and methods of a model's managers can
    be tasks too; they send no row.

    Use it bare or with options: all of those of Celery's tasks, and these.

    ``name``
        The name of the task, a string; ``<module>.<Class>.<method>`` by default.
    ``aliases``
        A list of former names, under which messages still run; empty by default.
    ``serializer``
        The name of a serializer; the setting ``CEREAL_METHODS["SERIALIZER"]`` by default.
    ``bind``
        If true, the method is called with the Celery task after ``self``; false by default.
    ``on_commit``
        If true, ``delay`` and ``apply_async`` send when the transaction of the row's database
        commits. The setting ``ON_COMMIT`` by default.
    ``on_missing``
        What to do if a row of the message does not exist: ``"raise"`` its ``DoesNotExist``,
        ``"discard"`` the task (state ``IGNORED``), or ``"retry"`` the fetch a limited number of
        times. A function is called with the ``DoesNotExist``; what it returns is the task's
        result, what it raises is its failure, and ``Ignore`` discards the task. The setting
        ``ON_MISSING`` by default.
    ``select_related``
        A name or a list of names, as for Django's ``select_related``; false by default. With
        ``True`` it follows all relations that cannot be null, which Django 6.1 deprecates.
    ``prefetch_related``
        A name, or a list of names and ``Prefetch`` objects; empty by default.
    ``select_for_update``
        ``True`` or a dict of the options of Django's ``select_for_update``: the method runs in a
        transaction that holds the lock of its row. If another transaction holds it, the task
        waits; with ``nowait`` it is retried, with ``skip_locked`` discarded. The rows of a batch
        are locked one by one, unless the dict has ``"batch": True``: then they are locked
        together, in one transaction. ``False`` by default.
    ``manager``
        The name of the manager that fetches the row; the model's base manager by default.
    ``durable``
        If true, a call is recorded in the row's database with the caller's transaction, and its
        effects on that database happen once. The setting ``DURABLE`` by default.
    ``atomic``
        If false, a durable method does not run in a transaction; true by default.

    Raises ``InvalidModelTask`` if a worker cannot run what it decorates, if an option does not
    exist, or if an option has an invalid value.
    """
    if method is None:
        return functools.partial(model_task, **options)
    discovery.connect()
    kind = ModelTaskWithTask if options.get("bind") else ModelTask
    return kind(method, options)
