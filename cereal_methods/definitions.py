"""What ``@model_task`` may stand on, and the options that it takes."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery import Task
from django.db.models import Prefetch

from .arguments import THIS
from .exceptions import InvalidModelTask
from .options import SharedOptions
from .policies import RowPolicy

#: The options of ``@model_task`` that are the library's and not Celery's.
OWN_OPTIONS: Final = frozenset({"aliases", "on_commit", *RowPolicy.__slots__})

_SHARED_OPTIONS: Final = frozenset({"base", "bind", *SharedOptions.__optional_keys__})


def check_method(method: Any, *, bind: bool) -> None:
    """Raise ``InvalidModelTask`` for something that cannot be sent as a method."""
    name = getattr(method, "__qualname__", repr(method))
    function = method.__func__ if isinstance(method, classmethod | staticmethod) else method
    wrong = None
    if isinstance(function, type | property) or not callable(function):
        name = getattr(getattr(method, "fget", None), "__qualname__", name)
        kind = "class" if isinstance(function, type) else type(function).__name__
        wrong = f"is a {kind} and no method. Decorate a function in the body of a model"
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


def check_options(method: str, options: Mapping[str, Any]) -> None:
    """Raise ``InvalidModelTask`` for an option that does not exist, or has no such value."""
    base = options.get("base") or Task
    known = {*OWN_OPTIONS, *_SHARED_OPTIONS, *(name for name in dir(base) if name[0] != "_")}
    for option, value in options.items():
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidModelTask(
                f"@model_task of {method} has no option {option!r}.{meant} Options are those of "
                "Celery's tasks and of model_task; those of a task class come with base=.",
                method,
            )
        is_valid, expected = _VALUES.get(option, (None, ""))
        if is_valid is not None and not is_valid(value):
            raise InvalidModelTask(
                f"@model_task of {method}: {option} is {value!r}. It must be {expected}.", method
            )


def _list_of(*kinds: type) -> Callable[[Any], bool]:
    def is_valid(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(item, kinds) for item in value)

    return is_valid


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


_are_strings: Final = _list_of(str)
_are_prefetches: Final = _list_of(str, Prefetch)

_VALUES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "name": (_is_string, "a string"),
    "aliases": (_are_strings, "a list of strings"),
    "serializer": (_is_string, "the name of a serializer"),
    "on_commit": (lambda value: value is None or isinstance(value, bool), "True or False"),
    "manager": (lambda value: value is None or _is_string(value), "the name of a manager"),
    "select_related": (
        lambda value: isinstance(value, (bool, str)) or _are_strings(value),
        "True, a name or a list of names",
    ),
    "prefetch_related": (
        lambda value: _is_string(value) or _are_prefetches(value),
        "a name, or a list of names and Prefetch objects",
    ),
}
