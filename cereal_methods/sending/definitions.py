"""Which functions ``@model_task`` can decorate."""

from __future__ import annotations

import inspect
from math import inf
from typing import Any

from ..exceptions import InvalidModelTask
from ..rows.reference import THIS
from .decorators import CACHE, decorated
from .headers import POSITIONAL


def check_method(method: Any, *, bind: bool) -> None:
    """Raise ``InvalidModelTask`` if a worker cannot run something as a method.

    ``bind`` is the option of that name: the method must take the task after ``self``.
    """
    function = method.__func__ if isinstance(method, classmethod | staticmethod) else method
    wrong = _wrong_kind(function)
    if wrong is None and isinstance(method, staticmethod) and bind:
        wrong = (
            "is a static method, which cannot take the task of bind=True. Make it a class method"
        )
    if wrong is None:
        takes_self = not isinstance(method, staticmethod)
        wrong = _wrong_parameters(function, takes_self=takes_self, bind=bind)
    if wrong is not None:
        name = _name_of(method)
        raise InvalidModelTask(f"@model_task cannot be used here: {name} {wrong}.", name)


def _name_of(method: Any) -> str:
    inner = method if hasattr(method, "__qualname__") else decorated(method)
    return getattr(inner, "__qualname__", repr(method))


def _wrong_kind(function: Any) -> str | None:
    """Return why a worker cannot call a function, whatever its parameters are."""
    kind = "class" if isinstance(function, type) else type(function).__name__
    if isinstance(function, type | property) or not callable(function):
        return f"is a {kind}, not a method. Decorate a function in the body of a model"
    if isinstance(function, CACHE):
        return (
            "is wrapped in functools.lru_cache, so a worker would run it once for each row and "
            "keep the rows in memory. Leave out the cache"
        )
    if not hasattr(function, "__get__"):
        return f"is a {kind}, which does not bind to instances. Use a function"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is a coroutine function, which Celery cannot run. Wrap it with async_to_sync"
    if inspect.isgeneratorfunction(function):
        return "is a generator function, whose body a worker would never run. Return a list"
    if getattr(function, "__qualname__", "").endswith("<lambda>"):
        return "is a lambda, which has no name to send it by. Use def"
    return None


def _wrong_parameters(function: Any, *, takes_self: bool, bind: bool) -> str | None:
    parameters = inspect.signature(function).parameters.values()
    takes: float = sum(parameter.kind in POSITIONAL for parameter in parameters)
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        takes = inf
    if takes < takes_self:
        return "does not take self. Decorate a method with self as its first parameter"
    if takes < takes_self + bind:
        return (
            "does not take the task. With bind=True the task comes second: def method(self, task)"
        )
    if any(parameter.name == THIS for parameter in parameters):
        return f"has a parameter {THIS!r}, under which self travels. Rename it"
    return None
