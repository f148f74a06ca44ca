"""The Celery task behind a method: its name, its registration and its run.

The task is an ordinary shared task, so that it lives on whatever Celery app is
current, with whatever task class that app has. Its arguments are the method's
without ``self``, and the keyword ``this`` for ``self``: Celery puts results
before the positional arguments of the next signature in a chain, so a ``self``
among them would not stay first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from celery import current_app, current_task, shared_task

from . import conf
from .arguments import THIS, LazyArgs
from .hydration import fetch_all
from .references import ModelReference, QuerySetReference, from_plain, replace, to_references

if TYPE_CHECKING:
    from django.db import models

# Typed for decorators with literal options, which these are not.
_share: Any = shared_task


def task_name(model: type, method: str) -> str:
    """Return the name of a method's task: ``shop.models.Order.ship``."""
    return f"{model.__module__}.{model.__name__}.{method}"


def register(
    model: type[models.Model],
    attribute: str,
    method: Callable[..., Any],
    *,
    bind: bool = False,
    **options: Any,
) -> None:
    """Register the Celery task of a model's method on the current app and all later ones.

    ``options`` are those of ``celery.shared_task``. The serializer is the
    setting ``CEREAL_METHODS["SERIALIZER"]`` unless they name another.
    """
    options.setdefault("serializer", conf.get("SERIALIZER"))

    def run(*args: Any, this: Any, **kwargs: Any) -> Any:
        # With bind, Celery passes the task as the first of args, where the method takes it.
        row, args, kwargs = _settle(from_plain(this) or this, args, kwargs)
        if not isinstance(row, model):
            raise TypeError(
                f"The task {task_name(model, attribute)} was sent for {row!r} and not for an "
                f"instance of {model._meta.label}. Send it as instance.{attribute}.delay()."
            )
        return method(row, *args, **kwargs)

    functools.update_wrapper(run, method)
    run.__module__ = model.__module__
    run.__qualname__ = f"{model.__qualname__}.{attribute}"
    run.__signature__ = _without_self(method, bind)  # type: ignore[attr-defined]
    _share(run, name=task_name(model, attribute), bind=bind, **options)


def find(name: str) -> Any:
    """Return the Celery task of a name, from the current app."""
    return current_app.tasks[name]


def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a shared task whose arguments may hold model instances.

    It is ``celery.shared_task`` with the setting ``CEREAL_METHODS["SERIALIZER"]``
    as serializer; bare or with options, as there.
    """
    if function is None:
        return functools.partial(task, **options)

    def run(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _settle(args, kwargs)
        return function(*args, **kwargs)

    functools.update_wrapper(run, function)
    run.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    options.setdefault("serializer", conf.get("SERIALIZER"))
    return _share(run, **options)


def arguments_for(
    reference: ModelReference, args: Any, kwargs: Mapping[str, Any] | None
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a message: references for instances, ``this`` for ``self``."""
    return (
        to_references(tuple(args or ())),
        {**to_references(dict(kwargs or {})), THIS: reference.as_plain()},
    )


def settle(*values: Any) -> tuple[Any, ...]:
    """Return the values with fresh instances for the references in them, at any depth.

    One query per model and database; none where there is no reference.
    """
    found: dict[Any, Any] = {}

    def note(value: Any) -> None:
        if isinstance(value, (ModelReference, QuerySetReference)):
            found[value] = None

    replace(values, note)
    if not found:
        return values
    rows = dict(zip(found, fetch_all(list(found)), strict=True))
    settled: tuple[Any, ...] = replace(values, lambda value: _row_for(value, rows))
    return settled


def _row_for(value: Any, rows: Mapping[Any, Any]) -> Any:
    is_reference = isinstance(value, (ModelReference, QuerySetReference))
    return rows[value] if is_reference else None


def _settle(*values: Any) -> tuple[Any, ...]:
    """Return the values of a run with instances for the references that are left.

    The message of a cereal serializer brings none. They come under other
    serializers, and where Celery calls an errback inline, with arguments
    straight from the embed. An eager run (``apply``, or a retry under
    ``task_always_eager``) brings instances that were in no message: they are
    fetched again, as a worker would.
    """
    request = current_task.request if current_task else None
    if request is not None:
        if isinstance(request.args, LazyArgs):
            return values
        if request.is_eager:
            values = to_references(values)
    return settle(*values)


def _without_self(method: Callable[..., Any], bind: bool) -> inspect.Signature:
    """Return the signature of a method's task."""
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())[1:]
    if bind:  # the task is passed by Celery, and positionally
        parameters[0] = parameters[0].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    this = inspect.Parameter(THIS, inspect.Parameter.KEYWORD_ONLY)
    last = parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    parameters.insert(len(parameters) - 1 if last else len(parameters), this)
    return signature.replace(parameters=parameters)
