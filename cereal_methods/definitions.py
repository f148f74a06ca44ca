"""What ``@model_task`` may stand on, and the options that it takes."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from celery import Task

from . import validators
from .exceptions import InvalidModelTask
from .options import SharedOptions
from .policies import RowPolicy
from .references import THIS

#: What ``functools.lru_cache`` and ``functools.cache`` make of a function.
CACHE: Final = type(lru_cache(len))

#: The options of ``@model_task`` that are the library's and not Celery's.
OWN_OPTIONS: Final = frozenset({"aliases", "on_commit", *RowPolicy.__slots__})

#: Those of ``@task``; ``rows`` has them by parameter.
FUNCTION_OPTIONS: Final = frozenset({"aliases", "rows", *RowPolicy.__slots__})

_SHARED_OPTIONS: Final = frozenset({"base", "bind", *SharedOptions.__optional_keys__})


def check_method(method: Any, *, bind: bool) -> None:
    """Raise ``InvalidModelTask`` for something that cannot be sent as a method."""
    name = getattr(method, "__qualname__", repr(method))
    function = method.__func__ if isinstance(method, classmethod | staticmethod) else method
    wrong = None
    if isinstance(function, type | property) or not callable(function):
        for inside in ("fget", "func", "real_func"):  # of Python's and Django's own decorators
            name = getattr(getattr(function, inside, None), "__qualname__", name)
        kind = "class" if isinstance(function, type) else type(function).__name__
        wrong = f"is a {kind}, not a method. Decorate a function in the body of a model"
    elif isinstance(function, CACHE):
        wrong = (
            "is wrapped in functools.lru_cache, by which a worker would run it once for each row, "
            "and keep the rows in memory. Leave the cache out"
        )
    elif not hasattr(function, "__get__"):
        wrong = f"is a {type(function).__name__}, which does not bind to instances. Use a function"
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        wrong = "is a coroutine function, which Celery cannot run. Wrap it with async_to_sync"
    elif inspect.isgeneratorfunction(function):
        wrong = "is a generator function, of which a worker would run nothing. Return a list"
    elif name.endswith("<lambda>"):
        wrong = "is a lambda, which has no name to send it by. Use def"
    elif bind and isinstance(method, staticmethod):
        wrong = "is a static method, to which no task can be bound. Make it a class method"
    else:
        wrong = _wrong_parameters(
            function, takes_self=not isinstance(method, staticmethod), bind=bind
        )
    if wrong:
        raise InvalidModelTask(f"@model_task cannot be used here: {name} {wrong}.", name)


def _wrong_parameters(function: Any, *, takes_self: bool, bind: bool) -> str | None:
    parameters = inspect.signature(function).parameters.values()
    named = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    takes: float = sum(parameter.kind in named for parameter in parameters)
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        takes = float("inf")
    if takes < takes_self:
        return "takes no self. Decorate a method with self as its first parameter"
    if takes < takes_self + bind:
        return "takes no task. With bind=True the task comes second: def method(self, task)"
    if any(parameter.name == THIS for parameter in parameters):
        return f"has a parameter {THIS!r}, under which self travels. Rename it"
    return None


def check_options(owner: str, options: Mapping[str, Any], *, is_method: bool = True) -> None:
    """Raise ``InvalidModelTask`` for an option that does not exist, or has no such value.

    ``owner`` is the method or function, as errors name it.
    """
    decorator, own = ("@model_task", OWN_OPTIONS) if is_method else ("@task", FUNCTION_OPTIONS)
    base = options.get("base") or Task
    known = {*own, *_SHARED_OPTIONS, *(name for name in dir(base) if name[0] != "_")}
    for option, value in options.items():
        if option not in known:
            if option in OWN_OPTIONS:
                raise InvalidModelTask(
                    f"{decorator} of {owner} has no option {option!r}, which is for methods.", owner
                )
            near = difflib.get_close_matches(option, known, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidModelTask(
                f"{decorator} of {owner} has no option {option!r}.{meant} Options are those of "
                f"Celery's tasks and of {decorator[1:]}; those of a task class come with base=.",
                owner,
            )
        expected = validators.expected(option, value)
        if expected is not None:
            raise InvalidModelTask(
                f"{decorator} of {owner}: {option} is {value!r}. It must be {expected}.", owner
            )
    _check_row_options(decorator, owner, options.get("rows") or {})


def _check_row_options(decorator: str, owner: str, rows: Mapping[str, Any]) -> None:
    """Check the options of ``rows=``, which are those of each parameter."""
    for parameter, options in rows.items():
        for option, value in options.items():
            where = f"{decorator} of {owner}: rows[{parameter!r}]"
            if option not in RowPolicy.__slots__:
                near = difflib.get_close_matches(option, RowPolicy.__slots__, n=1)
                meant = f"Did you mean {near[0]!r}?" if near else ""
                known = f"There are {', '.join(RowPolicy.__slots__)}."
                raise InvalidModelTask(f"{where} has no option {option!r}. {meant or known}", owner)
            expected = validators.expected(option, value)
            if expected is not None:
                raise InvalidModelTask(
                    f"{where}[{option!r}] is {value!r}. It must be {expected}.", owner
                )
