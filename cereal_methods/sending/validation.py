"""The validator of options: those of the decorators, of ``rows=`` and of sending.

Celery ignores an option that it does not know, and finds a wrong value only in a worker, if at
all. So each option is validated where it is written.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from celery import Task

from ..celery_api.tasks import parameters_of
from ..django_api.models import managers_of
from ..exceptions import InvalidModelTask
from ..running.policy import RowPolicy
from ..running.target import Target
from ..suggestions import did_you_mean
from .option_values import requirement
from .options import SharedOptions
from .publishing import BULK_REFUSES, CALL_OPTIONS, OPTIONS

if TYPE_CHECKING:
    from django.db import models

#: The options of ``@model_task`` and ``@task`` that are the library's and not Celery's.
METHOD_OPTIONS: Final = frozenset(
    {"aliases", "atomic", "durable", "on_commit", *RowPolicy.__slots__}
)
FUNCTION_OPTIONS: Final = frozenset({"aliases", "atomic", "durable", "rows", *RowPolicy.__slots__})

_SHARED_OPTIONS: Final = frozenset({"base", "bind", *SharedOptions.__optional_keys__})

_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_method_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise ``InvalidModelTask`` if ``@model_task`` of a method cannot have its options."""
    _check_decorator("@model_task", METHOD_OPTIONS, name, options)


def check_function_options(name: str, options: Mapping[str, Any], parameters: list[str]) -> None:
    """Raise ``InvalidModelTask`` if ``@task`` of a function cannot have its options.

    ``parameters`` are the names that ``rows=`` can have options for.
    """
    where = _check_decorator("@task", FUNCTION_OPTIONS, name, options)
    for parameter, row_options in options.get("rows", {}).items():
        if parameter not in parameters:
            raise InvalidModelTask(
                f"{where}: rows names {parameter!r}, which is not a parameter of it. They are "
                f"{', '.join(parameters) or 'none'}.",
                where,
            )
        path = f"{where}: rows[{parameter!r}]"
        for option, value in row_options.items():
            if option not in RowPolicy.__slots__:
                others = f"There are {', '.join(RowPolicy.__slots__)}."
                hint = did_you_mean(option, RowPolicy.__slots__, others)
                raise InvalidModelTask(f"{path} has no option {option!r}. {hint}", name)
            _check_value(f"{path}[{option!r}]", name, option, value)
        _check_lock(path, row_options)


def check_manager(name: str, model: type[models.Model], manager: str | None) -> None:
    """Raise ``InvalidModelTask`` if a model does not have the manager that a task names."""
    managers = sorted(managers_of(model))
    if manager is not None and manager not in managers:
        raise InvalidModelTask(
            f"@model_task of {name}: {model._meta.label} has no manager {manager!r}. It has "
            f"{', '.join(managers)}.",
            name,
        )


def check_sending_options(task: Any, options: Mapping[str, Any], call: str = "apply_async") -> None:
    """Raise ``TypeError`` for an option of sending that nothing takes.

    ``call`` is the method that was called with it. What the ``apply_async`` of the task's own
    class takes by name is accepted too.
    """
    unknown = options.keys() - OPTIONS
    if unknown:
        unknown -= {*CALL_OPTIONS[call], *(options.get("stamped_headers") or ())}
        if unknown:
            _refuse_unknown(task, [option for option in options if option in unknown], call)


def check_bulk_options(task: Any, options: Mapping[str, Any], call: str, batch_size: Any) -> None:
    """Raise ``ValueError`` for an invalid batch size, ``TypeError`` for options of one task."""
    if batch_size is not None and (type(batch_size) is not int or batch_size < 1):
        raise ValueError(
            f"{task.name}: batch_size is {batch_size!r}. It must be a whole number of rows, at "
            "least 1, or None for one message a row."
        )
    refused = sorted(BULK_REFUSES & options.keys())
    if refused:
        raise TypeError(
            f"{task.name} cannot be sent in bulk with {refused[0]}=, which is for one task. Use a "
            "group, as in chord(Model.method.group(rows), callback)."
        )
    check_sending_options(task, options, call)


def _check_decorator(
    decorator: str, ours: Iterable[str], name: str, options: Mapping[str, Any]
) -> str:
    """Check a decorator's options; return the words for what has them."""
    where = f"{decorator} of {name}"
    base = options.get("base") or Task
    names = {*ours, *_SHARED_OPTIONS, *(each for each in dir(base) if not each.startswith("_"))}
    for option, value in options.items():
        if option not in names:
            raise InvalidModelTask(_unknown_option(decorator, where, option, names), name)
        _check_value(f"{where}: {option}", name, option, value)
    _check_lock(where, options)
    return where


def _unknown_option(decorator: str, where: str, option: str, names: Iterable[str]) -> str:
    if option in METHOD_OPTIONS:
        return f"{where} has no option {option!r}, which is for methods."
    hint = did_you_mean(option, names)
    return (
        f"{where} has no option {option!r}. {hint and f'{hint} '}Options are those of Celery's "
        f"tasks and of {decorator.removeprefix('@')}; those of a task class come with base=."
    )


def _check_value(where: str, name: str, option: str, value: Any) -> None:
    words = requirement(option, value)
    if words is not None:
        raise InvalidModelTask(f"{where} is {value!r}. It must be {words}.", name)


def _check_lock(where: str, options: Mapping[str, Any]) -> None:
    lock = options.get("select_for_update")
    if (
        isinstance(lock, Mapping)
        and lock.get("batch")
        and (lock.get("nowait") or lock.get("skip_locked"))
    ):
        raise InvalidModelTask(
            f"{where}: select_for_update has 'batch', which waits for the locks of all rows, "
            "and 'nowait' or 'skip_locked'. Leave out one of them.",
            where,
        )


def _refuse_unknown(task: Any, unknown: list[str], call: str) -> None:
    # The class of a task may have an apply_async that takes more options, by name or as **options.
    apply_async = next(
        vars(kind)["apply_async"]
        for kind in type(task).__mro__
        if "apply_async" in vars(kind) and not isinstance(vars(kind).get("target"), Target)
    )
    accepted = inspect.signature(apply_async).parameters
    arguments = parameters_of(task)
    for option in unknown:
        if option in accepted and accepted[option].kind not in _VARIADIC:
            continue
        hint = did_you_mean(option, OPTIONS | CALL_OPTIONS[call], cutoff=0.75)
        if option in arguments and arguments[option].kind not in _VARIADIC:
            hint = f"It is an argument of the method: kwargs={{{option!r}: ...}}."
        elif apply_async is Task.apply_async:
            hint = hint or "Options are those of Celery's apply_async."
        if hint:
            raise TypeError(f"{task.name}: {call} has no option {option!r}. {hint}")
