"""How Celery sends a task, and whether other code takes part in it; see the package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any
from weakref import ReferenceType

from celery import signals
from celery.app.routes import MapRoute


def is_sent_by_celery_alone(
    task: Any, apply_async: Callable[..., Any], beside: Collection[Callable[..., Any]] = ()
) -> bool:
    """Whether only Celery's own code makes a task's messages, and treats all of them alike.

    ``apply_async`` is that of the task's class, or a partial of it. Other code takes part by
    receivers of signals, by routers that are functions, by methods of a task's or an app's class,
    and by replacing Celery's methods, as packages for tracing do. ``beside`` are receivers that
    change no message.
    """
    # Celery has no way to ask. Else: call apply_async for each of many messages.
    app = task.app
    amqp, router = app.amqp, app.amqp.router
    functions = (
        apply_async,
        task.shadow_name,
        task._get_exec_options,
        app.send_task,
        amqp.create_task_message,
        amqp.send_task_message,
        router.route,
    )
    return (
        all(map(_is_celerys, functions))
        and all(type(route) is MapRoute for route in router.routes or ())
        and getattr(task, "_dump_pydantic_arguments", None) is None
        and all(receiver in beside for signal in _SIGNALS for receiver in _receivers(signal))
    )


_SIGNALS = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)


def _receivers(signal: Any) -> Iterator[Any]:
    for _, receiver in signal.receivers:
        yield receiver() if isinstance(receiver, ReferenceType) else receiver


def _is_celerys(function: Any) -> bool:
    """Whether a function is Celery's own, and not a wrapper around it."""
    if type(function) is partial:
        function = function.func
    if type(function) is MethodType:
        function = function.__func__
    # A wrapper copies the name, the module and the qualified name, but not the globals.
    return type(function) is FunctionType and _is_in_celery(function)


def _is_in_celery(function: FunctionType) -> bool:
    return str(function.__globals__.get("__name__")).partition(".")[0] == "celery"
