"""Errors about the arguments of a call, in the words of the caller."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NoReturn

from ..rows.reference import THIS
from . import headers
from .publishing import CALL_OPTIONS, COMMON_OPTIONS


def raise_as_written(
    bound: Any, error: TypeError, call: str, args: Any, kwargs: Mapping[str, Any] | None
) -> NoReturn:
    """Raise the ``TypeError`` that describes a call as its caller wrote it, or ``error``.

    The header of the task has raised ``error``. It does not know the instance that comes first
    in a call from the class, nor the options of sending. ``call`` is the method that takes
    these: ``apply_async``.
    """
    signature, kwargs = inspect.signature(bound), kwargs or {}
    better = misplaced(bound.__qualname__, signature, call, kwargs)
    if better is None and bound._takes_rows and not call.startswith("bulk") and THIS not in kwargs:
        try:
            headers.header(bound.__qualname__, signature)(*(args or ()), **kwargs)
        except TypeError as with_instance:
            better = with_instance
    if better is None:
        raise error
    raise better from None


def misplaced(
    name: str, signature: inspect.Signature, call: str, kwargs: Mapping[str, Any]
) -> TypeError | None:
    """Return an error if there are options of sending among the arguments of a method."""
    parameters = signature.parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    options = COMMON_OPTIONS | CALL_OPTIONS[call]
    passed = [option for option in kwargs if option in options and option not in parameters]
    if not passed:
        return None
    before = "rows, args" if call.startswith("bulk") else "args"
    if kwargs.keys() - {*passed, THIS}:
        before += ", kwargs"
    options_text = ", ".join(f"{option}={_brief(kwargs[option])}" for option in passed)
    return TypeError(
        f"{name}() got an unexpected keyword argument {passed[0]!r}, which is an option of "
        f"sending. Write {name}.{call}({before}, {options_text})."
    )


def _brief(value: Any) -> str:
    """Return short text of a value, without any data of the caller's."""
    return repr(value) if isinstance(value, bool | int | float) else "..."
