"""The function behind a task, and how it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..celery_api.tasks import with_autoretry
from ..exceptions import FunctionAborted
from .message import is_called_directly
from .policy import DEFAULT, RowPolicy

if TYPE_CHECKING:
    from django.db import models

#: What the pools of gevent and eventlet end a task with: the second is their time limit.
_RAISED_BY_POOLS: Final = frozenset({"GreenletExit", "Timeout"})


@dataclass(frozen=True, slots=True)
class Target:
    """The function behind a task, and how its rows are fetched.

    ``model`` is the model of the row that a method runs on; None for functions.
    ``parameters`` maps the parameters of a function that have a policy of their own to it;
    ``names`` are the parameters that take positional arguments.
    """

    name: str
    function: Callable[..., Any]
    policy: RowPolicy
    model: type[models.Model] | None = None
    parameters: Mapping[str, RowPolicy] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    #: Whether it is kept in the app of durable tasks; whether it runs in a transaction then;
    #: and the model whose database that is, where no row says so.
    is_durable: bool = False
    is_atomic: bool = True
    owner: type[models.Model] | None = None


def target_of(task: Any) -> Target | None:
    """Return the target of a task of this library; None for other tasks, and for None."""
    target = getattr(task, "target", None)
    return target if isinstance(target, Target) else None


def is_row_task(task: Any) -> bool:
    """Whether a Celery task, or its class, was made by ``@model_task`` or ``@task``."""
    return isinstance(getattr(task, "target", None), Target)  # each message asks several times


def policy_of(task: Any) -> RowPolicy:
    """Return the row policy of a Celery task; other tasks have the default policy."""
    target = target_of(task)
    return DEFAULT if target is None else target.policy


def row_model_of(task: Any) -> type[models.Model] | None:
    """Return the model of the row that a task runs on, or None if it does not run on a row."""
    target = target_of(task)
    return None if target is None else target.model


def call_function(
    target: Target, task: Any, request: Any, row: Any, args: Iterable[Any], kwargs: Any
) -> Any:
    """Call the function and return its result. ``task`` is the running task, or None."""
    function = target.function if task is None else _function_of(task, target)
    try:
        return function(*args, **kwargs) if target.model is None else function(row, *args, **kwargs)
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # asyncio.CancelledError would end Celery's process, and leave the task without a result.
        if is_called_directly(request) or type(error).__name__ in _RAISED_BY_POOLS:
            raise
        raise FunctionAborted(
            f"{target.name} raised {type(error).__qualname__}, which ends a coroutine or a "
            "generator and not a task. Catch it in the function.",
            target.name,
        ) from error


def _function_of(task: Any, target: Target) -> Callable[..., Any]:
    """Return the task's function, which Celery retries as ``autoretry_for`` says."""
    function: Callable[..., Any] | None = vars(task).get("autoretried")
    if function is None:
        function = task.autoretried = with_autoretry(task, target.function)
    return function
