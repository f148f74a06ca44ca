"""Headers: functions that take a task's arguments, or fail as the method itself would.

Celery has such a function for each task, its ``__header__``, and calls it when the task
is sent. Those of methods are the library's, since Celery's count ``this`` as an argument.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from .references import THIS

_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def without_task(signature: inspect.Signature, place: int) -> inspect.Signature:
    """Return a signature without the parameter at ``place``, which takes the task."""
    parameters = list(signature.parameters.values())
    if len(parameters) > place and parameters[place].kind in _POSITIONAL:
        del parameters[place]
    return signature.replace(parameters=parameters)


def header(name: str, signature: inspect.Signature) -> Callable[..., None]:
    """Return a function that takes a task's arguments, or fails as the method ``name`` would.

    ``signature`` is that of the arguments, among which there is no task.
    """
    parameters = [
        each.replace(
            annotation=each.empty, default=each.empty if each.default is each.empty else None
        )
        for each in signature.parameters.values()
    ]
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return _function(name, signature, parameters, "pass")
    # Only the error of too many arguments counts them. So they are taken, and given to a
    # function without ``this``, which raises the error in Python's own words.
    positional = sum(each.kind in _POSITIONAL for each in parameters)
    others = [each for each in parameters if each.name != THIS]

    def too_many(*given: Any) -> None:
        _function(name, signature, others, "pass")(*given)

    more, fail = _unused("more", parameters), _unused("fail", parameters)
    taken = inspect.Parameter(more, inspect.Parameter.VAR_POSITIONAL)
    return _function(
        name,
        signature,
        [*parameters[:positional], taken, *parameters[positional:]],
        f"if {more}: {fail}(*[None] * {positional}, *{more})",
        **{fail: too_many},
    )


def _function(
    name: str,
    signature: inspect.Signature,
    parameters: list[inspect.Parameter],
    body: str,
    **used: Any,
) -> Callable[..., None]:
    # As Celery's own, it is compiled: inspect.Signature.bind() takes many times as long.
    exec(f"def header{inspect.Signature(parameters)}:\n    {body}", used)  # noqa: S102
    made: Any = used["header"]
    made.__name__, made.__qualname__ = name.rpartition(".")[2], name
    # From which Celery knows how many arguments an errback takes.
    made.__signature__ = signature
    function: Callable[..., None] = made
    return function


def _unused(name: str, parameters: list[inspect.Parameter]) -> str:
    while any(each.name == name for each in parameters):
        name += "_"
    return name


def task_header(name: str, signature: inspect.Signature, *, bind: bool) -> Any:
    """Return the header of a method's task, as an attribute of the task's class."""
    if not bind:
        return staticmethod(header(name, signature))
    # Celery knows by the partial that the task must not be called in an errback's place.
    return staticmethod(functools.partial(header(name, without_task(signature, 0))))
