"""Headers: functions that take a task's arguments, or fail as the method itself would.

Celery has such a function for each task, its ``__header__``, and calls it when the task is sent.
Methods need headers of their own, because Celery's would count ``this`` as an argument.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, Final

from ..rows.reference import THIS

#: The kinds of parameters that positional arguments go to, one each.
POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def task_signature(method: Callable[..., Any], *, takes_row: bool) -> Signature:
    """Return the signature of a method's task: ``this`` takes the place of ``self``."""
    signature = inspect.signature(method)
    if not takes_row:
        return signature
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].kind in POSITIONAL:  # otherwise self is among *args
        del parameters[0]
    has_kwargs = bool(parameters) and parameters[-1].kind is Parameter.VAR_KEYWORD
    this = Parameter(THIS, Parameter.KEYWORD_ONLY)
    parameters.insert(len(parameters) - has_kwargs, this)
    return signature.replace(parameters=parameters)


def without_task(signature: Signature, place: int) -> Signature:
    """Return a signature without the parameter at ``place``, which takes the task."""
    parameters = list(signature.parameters.values())
    if len(parameters) > place and parameters[place].kind in POSITIONAL:
        del parameters[place]
    return signature.replace(parameters=parameters)


def header(name: str, signature: Signature) -> Callable[..., None]:
    """Return a function that takes a task's arguments, or fails as the method ``name`` would.

    ``signature`` is that of the arguments, without the task of ``bind``.
    """
    parameters = [
        parameter.replace(
            annotation=Parameter.empty,
            default=Parameter.empty if parameter.default is Parameter.empty else None,
        )
        for parameter in signature.parameters.values()
    ]
    if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):
        return _compiled(name, signature, parameters, "pass")
    # Of Python's errors only that of too many arguments counts them, and it must not count
    # ``this``. So surplus arguments are accepted and passed to a function without ``this``, which
    # raises the error.
    positional = sum(parameter.kind in POSITIONAL for parameter in parameters)
    without_this = [parameter for parameter in parameters if parameter.name != THIS]

    def too_many(*args: Any) -> None:
        _compiled(name, signature, without_this, "pass")(*args)

    more, fail = _unused("more", parameters), _unused("fail", parameters)
    surplus = Parameter(more, Parameter.VAR_POSITIONAL)
    return _compiled(
        name,
        signature,
        [*parameters[:positional], surplus, *parameters[positional:]],
        f"if {more}: {fail}(*[None] * {positional}, *{more})",
        **{fail: too_many},
    )


def _compiled(
    name: str, signature: Signature, parameters: list[Parameter], body: str, **names: Any
) -> Callable[..., None]:
    # Celery compiles its headers too. inspect.Signature.bind() takes many times as long.
    exec(f"def header{Signature(parameters)}:\n    {body}", names)  # noqa: S102
    function: Any = names["header"]
    function.__name__, function.__qualname__ = name.rpartition(".")[2], name
    # Celery reads from it how many arguments an errback takes.
    function.__signature__ = signature
    compiled: Callable[..., None] = function
    return compiled


def _unused(name: str, parameters: list[Parameter]) -> str:
    while any(parameter.name == name for parameter in parameters):
        name += "_"
    return name


def task_header(name: str, signature: Signature, *, bind: bool) -> Any:
    """Return the header of a method's task, as an attribute of the task's class."""
    if not bind:
        return staticmethod(header(name, signature))
    # The partial tells Celery that it must not call the task in place of an errback.
    return staticmethod(functools.partial(header(name, without_task(signature, 0))))
