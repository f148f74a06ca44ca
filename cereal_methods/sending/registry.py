"""The Celery task behind a method: its name, its registration and its run.

It is an ordinary shared task, which belongs to the current Celery app and has that app's task
class. Its arguments are the method's, with the keyword ``this`` in place of ``self``. A ``self``
among the positional arguments would not stay first: in a chain, Celery puts the result of the
task before in front of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from celery import shared_task

from .. import conf
from ..celery_api.tasks import (
    WITHOUT_AUTORETRY,
    active_apps,
    finalized_task,
    get_current_app,
)
from ..exceptions import InvalidModelTask
from ..running import durability, hooks
from ..running.invocation import invoke
from ..running.policy import RowPolicy
from ..running.requests.option import RequestOption
from ..running.target import Target, is_row_task
from .validation import check_manager

if TYPE_CHECKING:
    from django.db import models


P = ParamSpec("P")
R = TypeVar("R")

# Its types expect literal options.
share: Any = shared_task


# The names of method tasks, former ones included, and the methods that have them.
_owners: Final[dict[str, str]] = {}


def task_name(model: type, path: str) -> str:
    """Return the default name of a method's task: ``shop.models.Order.ship``."""
    return f"{model.__module__}.{model.__name__}.{path}"


def register(
    name: str,
    model: type[models.Model],
    method: Callable[..., Any],
    signature: inspect.Signature,
    *,
    takes_row: bool,
    aliases: Sequence[str] = (),
    on_commit: bool | None = None,
    durable: bool | None = None,
    atomic: bool = True,
    **options: Any,
) -> None:
    """Register the Celery task of a method with the current app and all later ones.

    If ``takes_row``, ``method`` is called with the row before the task's arguments, otherwise
    with the arguments alone. ``options`` are those of ``celery.shared_task`` and of
    ``RowPolicy``, which have been validated.

    Raises ``InvalidModelTask`` if the model does not have the manager that ``options`` name, or
    if another task has the name.
    """
    options.setdefault("on_missing", conf.get("ON_MISSING"))
    options.setdefault("serializer", conf.get("SERIALIZER"))
    options["Request"] = RequestOption(options.get("Request"))  # what the consumer does for rows
    policy = RowPolicy.from_options(options)
    check_manager(name, model, policy.manager)
    target = Target(
        name,
        method,
        policy,
        model if takes_row else None,
        is_durable=conf.get("DURABLE") if durable is None else durable,
        is_atomic=atomic,
        owner=model,
    )
    if target.is_durable:
        make_durable(name, options)

    def run(*args: Any, **kwargs: Any) -> Any:
        return invoke(target, args, kwargs)

    functools.update_wrapper(run, method)
    run.__module__ = model.__module__
    run.__qualname__ = name.removeprefix(f"{model.__module__}.")
    run.__signature__ = signature  # type: ignore[attr-defined]
    owner = f"{model.__module__}.{model.__qualname__}:{method.__qualname__}"
    for each in (name, *aliases):
        _claim(each, owner)
        share(run, name=each, on_commit=on_commit, **task_attributes(target), **options)


def make_durable(name: str, options: dict[str, Any]) -> None:
    """Set the options that a durable task has. Raises ``InvalidModelTask`` if it cannot be one."""
    durability.check(name)
    # Celery would do it in the consumer, which has no database.
    options.setdefault("retry_on_worker_lost", False)
    for option in ("acks_late", "reject_on_worker_lost"):
        if options.setdefault(option, True) is not True:
            raise InvalidModelTask(
                f"{name} is durable and has {option}={options[option]!r}, by which its message "
                "is lost when its worker dies. Leave that option out.",
                name,
            )


def task_attributes(target: Target) -> dict[str, Any]:
    """Return the attributes that the class of a task has beside its options."""
    return {
        "target": target,
        "has_row_hooks": False,  # hooks.on_bound sets this, and the next
        "has_custom_call": False,
        **WITHOUT_AUTORETRY,  # target wraps the function alone: the fetch is not retried by it
        "on_bound": classmethod(hooks.on_bound),
    }


def _claim(name: str, owner: str) -> None:
    """Raise ``InvalidModelTask`` if another task has the name already."""
    taken = _owners.setdefault(name, owner)
    if taken != owner:
        raise _taken(name, owner, taken)
    for app in active_apps():
        # An app that is not finalized does not have its tasks yet. registered_task() checks again.
        task = finalized_task(app, name)
        if task is not None and not is_row_task(task):
            raise _taken(name, owner, task)


def _taken(name: str, owner: str, by: Any) -> InvalidModelTask:
    if not isinstance(by, str):
        by = f"{by.__module__}.{by.__name__}"
    return InvalidModelTask(
        f"The task name {name!r} of {owner} is used by {by}. Give one of them another name with "
        "name=.",
        name,
    )


def registered_task(name: str) -> Any:
    """Return the Celery task of a method by its name, from the current app.

    Raises ``InvalidModelTask`` if another task of the app has taken the name, and Celery's
    ``NotRegistered`` if none has it.
    """
    app = get_current_app()
    task = app.tasks.get(name)
    if not is_row_task(task):
        check_name(app, name)
        return app.tasks[name]
    return task


def check_name(app: Any, name: str) -> None:
    """Raise ``InvalidModelTask`` if a Celery app has another task under a method task's name."""
    task = app.tasks.get(name)
    if task is not None and not is_row_task(task):
        raise _taken(name, _owners[name], task)


def waits_for_commit(task: Any) -> bool:
    """Whether a method's task is sent when the transaction commits.

    A durable one is not: its record is made at once, in the transaction.
    """
    if task.target.is_durable:
        return not durability.is_on(task.app)
    return bool(conf.get("ON_COMMIT") if task.on_commit is None else task.on_commit)
