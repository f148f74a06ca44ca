"""``@task``: functions as shared tasks whose arguments may hold model instances."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import conf
from ..celery_api.tasks import HEADER
from ..running.invocation import invoke
from ..running.policy import RowPolicy
from ..running.target import Target
from .headers import task_header
from .registry import P, R, make_durable, share, task_attributes
from .validation import check_function_options

if TYPE_CHECKING:
    from typing import Literal, Unpack

    from celery import Task

    from .options import FunctionOptions, Method

T = TypeVar("T")


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *, bind: Literal[False] = ..., base: None = ..., **options: Unpack[FunctionOptions]
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


@overload
def task(
    *, bind: Literal[True], base: None = ..., **options: Unpack[FunctionOptions]
) -> Callable[[Method[Any, P, R]], Task[P, R]]: ...


@overload
def task(
    *, base: type[T], bind: bool = ..., **options: Any
) -> Callable[[Callable[..., Any]], T]: ...


def task(function: Any = None, /, **options: Any) -> Any:
    """Make a function a shared task whose arguments may hold model instances.

    It is ``celery.shared_task``, bare or with options, and its serializer is the setting
    ``CEREAL_METHODS["SERIALIZER"]`` by default. The options of ``model_task`` for rows
    (``on_missing``, ``manager``, ``select_related``, ``prefetch_related``,
    ``select_for_update``) apply to all rows among the arguments. ``aliases`` is a list of former
    names. ``durable`` and ``atomic`` are those of ``model_task``; ``durable`` is false by default.
    ``rows`` is a dict with options for single parameters::

        @task(rows={"document": {"manager": "objects", "select_for_update": True}})
        def index(document, user): ...

    Raises ``InvalidModelTask`` if an option does not exist or has an invalid value.
    """
    if function is None:
        return functools.partial(task, **options)
    name, signature = function.__qualname__, inspect.signature(function)
    parameters = signature.parameters.values()
    check_function_options(
        name, options, [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    )
    rows, aliases = options.pop("rows", {}), options.pop("aliases", ())
    on_missing = options.get("on_missing", "raise")
    policies = {
        parameter: RowPolicy.from_options({"on_missing": on_missing, **row_options})
        for parameter, row_options in rows.items()
    }
    policy = RowPolicy.from_options(options)
    durable, atomic = options.pop("durable", None) or False, options.pop("atomic", True)
    if durable:
        make_durable(name, options)
    options.setdefault("serializer", conf.get("SERIALIZER"))
    options[HEADER] = task_header(name, signature, bind=bool(options.get("bind")))

    def run(*args: Any, **kwargs: Any) -> Any:
        return invoke(target, args, kwargs)

    functools.update_wrapper(run, function)
    run.__signature__ = signature  # type: ignore[attr-defined]
    positional = [
        each.name for each in parameters if each.kind not in (each.KEYWORD_ONLY, each.VAR_KEYWORD)
    ]
    target = Target(
        name,
        function,
        policy,
        None,
        policies,
        tuple(positional),
        is_durable=durable,
        is_atomic=atomic,
    )
    options.update(task_attributes(target))
    for alias in aliases:
        share(run, **{**options, "name": alias})
    return share(run, **options)
