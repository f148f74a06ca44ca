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
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from celery import shared_task
from celery._state import _get_active_apps, get_current_app  # type: ignore[attr-defined]

from . import conf, hooks
from .calls import THIS
from .definitions import check_options
from .exceptions import InvalidModelTask
from .headers import task_header
from .invocation import invoke
from .policies import RowPolicy
from .requests import RequestOption
from .targets import Target

if TYPE_CHECKING:
    from typing import Literal

    from celery import Task
    from django.db import models
    from typing_extensions import Unpack

    from .options import FunctionOptions, Method

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# Typed for decorators with literal options, which these are not.
_share: Any = shared_task


# The names of method tasks, and the methods that they belong to.
_owners: Final[dict[str, str]] = {}


def task_name(model: type, *path: str) -> str:
    """Return the name of a method's task: ``shop.models.Order.ship``."""
    return ".".join((model.__module__, model.__name__, *path))


def register(
    name: str,
    model: type[models.Model],
    method: Callable[..., Any],
    signature: inspect.Signature,
    *,
    takes_row: bool,
    aliases: Sequence[str] = (),
    on_commit: bool | None = None,
    **options: Any,
) -> None:
    """Register the Celery task of a method on the current app and all later ones.

    ``method`` is called with the row first if ``takes_row``, else with the
    task's arguments alone. ``options`` are those of ``celery.shared_task`` and of
    ``RowPolicy``. Raises ``InvalidModelTask`` if another task has the name.
    """
    own = {key: options.pop(key) for key in RowPolicy.__slots__ if key in options}
    own.setdefault("on_missing", conf.get("ON_MISSING"))
    policy = RowPolicy.from_options(f"@model_task of {name}", own)
    managers = sorted(manager.name for manager in model._meta.managers)
    if policy.manager is not None and policy.manager not in managers:
        raise InvalidModelTask(
            f"@model_task of {name}: {model._meta.label} has no manager {policy.manager!r}. It has "
            f"{', '.join(managers)}.",
            name,
        )
    options.setdefault("serializer", conf.get("SERIALIZER"))

    options["Request"] = RequestOption(options.get("Request"))  # what the consumer does for rows
    target = Target(name, method, policy, model if takes_row else None)

    def run(*args: Any, **kwargs: Any) -> Any:
        return invoke(target, args, kwargs)

    functools.update_wrapper(run, method)
    run.__module__ = model.__module__
    run.__qualname__ = name.removeprefix(f"{model.__module__}.")
    run.__signature__ = signature  # type: ignore[attr-defined]
    for known_as in (name, *aliases):
        _claim(known_as, f"{model.__module__}.{model.__qualname__}:{method.__qualname__}")
        _share(
            run,
            name=known_as,
            on_commit=on_commit,
            **_attributes(target),
            **options,
        )


def _attributes(target: Target) -> dict[str, Any]:
    """Return what the class of a task has beside its options."""
    return {
        "target": target,
        "row_policy": target.policy,
        "row_model": target.model,
        # Celery's wrapper for autoretry_for leaves the task alone: it would retry the fetch.
        "_orig_run": None,
        "on_bound": classmethod(hooks.on_bound),
    }


def _claim(name: str, owner: str) -> None:
    """Raise ``InvalidModelTask`` if a task has the name already and is another."""
    taken = _owners.setdefault(name, owner)
    if taken != owner:
        raise _taken(name, owner, taken)
    for app in _get_active_apps():
        # Tasks of apps that are not finalized are not there yet; find() looks again.
        found = app._tasks.get(name) if app.finalized else None
        if found is not None and not hasattr(found, "row_policy"):
            raise _taken(name, owner, found)


def _taken(name: str, owner: str, by: Any) -> InvalidModelTask:
    if not isinstance(by, str):
        by = f"{by.__module__}.{by.__name__}"
    return InvalidModelTask(
        f"The task name {name!r} of {owner} is taken by {by}. Give one of them another with name=.",
        name,
    )


def find(name: str) -> Any:
    """Return the Celery task of a method by its name, from the current app.

    Raises ``InvalidModelTask`` if another task of the app has taken the name since.
    """
    app = get_current_app()
    check_name(app, name)
    return app.tasks[name]


def names() -> list[str]:
    """Return the names of all methods' tasks, former ones included."""
    return sorted(_owners)


def check_name(app: Any, name: str) -> None:
    """Raise ``InvalidModelTask`` if a method's task is another task in a Celery app."""
    found = app.tasks.get(name)
    if found is not None and not hasattr(found, "row_policy"):
        raise _taken(name, _owners[name], found)


def waits_for_commit(task: Any) -> bool:
    """Whether a method's task is sent when the transaction has committed."""
    return bool(conf.get("ON_COMMIT") if task.on_commit is None else task.on_commit)


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

    It is ``celery.shared_task`` with the setting ``CEREAL_METHODS["SERIALIZER"]``
    as serializer; bare or with options. Those of ``model_task`` for its row
    (``on_missing``, ``manager``, ``select_related``, ``prefetch_related``,
    ``select_for_update``) hold for all rows among the arguments, ``aliases`` are former
    names, and ``rows`` has options for single parameters::

        @task(rows={"document": {"manager": "objects", "select_for_update": True}})
        def index(document, user): ...
    """
    if function is None:
        return functools.partial(task, **options)
    name = function.__qualname__
    owner = f"@task of {name}"
    check_options(name, options, is_method=False)
    on_missing = options.get("on_missing", "raise")
    aliases = options.pop("aliases", ())
    policy = RowPolicy.from_options(owner, options)
    signature = inspect.signature(function)
    parameters = _parameter_policies(
        owner,
        [each.name for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD],
        options.pop("rows", {}),
        on_missing,
    )
    options.setdefault("serializer", conf.get("SERIALIZER"))
    options["__header__"] = task_header(name, signature, bind=bool(options.get("bind")))

    def run(*args: Any, **kwargs: Any) -> Any:
        return invoke(target, args, kwargs)

    functools.update_wrapper(run, function)
    run.__signature__ = signature  # type: ignore[attr-defined]
    positional = [
        each.name
        for each in signature.parameters.values()
        if each.kind not in (each.KEYWORD_ONLY, each.VAR_KEYWORD)
    ]
    target = Target(name, function, policy, None, parameters, tuple(positional))
    for alias in aliases:
        _share(run, **{**_attributes(target), **options, "name": alias})
    return _share(run, **_attributes(target), **options)


def _parameter_policies(
    owner: str, known: list[str], rows: Any, on_missing: Any
) -> dict[str, RowPolicy]:
    """Return the policies that ``rows=`` gives to a function's parameters, by their names."""
    found = {}
    for parameter, given in rows.items():
        if parameter not in known:
            raise InvalidModelTask(
                f"{owner}: rows names {parameter!r}, which is not a parameter of it. They are "
                f"{', '.join(known) or 'none'}.",
                owner,
            )
        found[parameter] = RowPolicy.from_options(
            f"{owner}: rows[{parameter!r}]", {"on_missing": on_missing, **given}
        )
    return found


def signature_of(method: Callable[..., Any], *, takes_row: bool, bind: bool) -> inspect.Signature:
    """Return the signature of a method's task: without the row, which comes as ``this``."""
    signature = inspect.signature(method)
    parameters = list(signature.parameters.values())
    if not takes_row:
        return signature
    if _is_positional(parameters):
        del parameters[0]
    this = inspect.Parameter(THIS, inspect.Parameter.KEYWORD_ONLY)
    last = parameters and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    parameters.insert(len(parameters) - 1 if last else len(parameters), this)
    return signature.replace(parameters=parameters)


def _is_positional(parameters: list[inspect.Parameter]) -> bool:
    """Whether the first parameter is one of its own, and not ``*args``."""
    first = parameters[0].kind if parameters else inspect.Parameter.VAR_POSITIONAL
    return first in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
