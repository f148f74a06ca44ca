"""Celery's apps, tasks and requests; see the package."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, Final

# Functions, because the documented celery.current_app and celery.current_task are proxies, which
# look up the object again for each attribute.
from celery import Celery, Task
from celery._state import _get_active_apps  # type: ignore[attr-defined]
from celery._state import get_current_app as get_current_app
from celery._state import get_current_task as get_current_task
from celery.app.amqp import AMQP
from celery.app.autoretry import add_autoretry_behaviour
from celery.app.task import Context
from celery.utils.imports import symbol_by_name
from celery.utils.objects import mro_lookup
from celery.utils.quorum_queues import detect_quorum_queues

# The texts of arguments in messages and logs are Celery's: reprlib bounds lengths differently.
from celery.utils.saferepr import saferepr as saferepr

# Celery itself reads a message's times and a task's rate_limit with these.
from celery.utils.time import maybe_iso8601 as maybe_iso8601
from celery.utils.time import maybe_make_aware as maybe_make_aware
from celery.utils.time import rate as rate
from kombu import Producer

# Apps.


def active_apps() -> list[Any]:
    """Return the Celery apps of this process, in any order."""
    # All apps of a project accept messages, not only the current one. Celery lists them nowhere
    # else. This is a WeakSet, which may change during an iteration.
    return list(_get_active_apps())


def is_fallback(app: Any) -> bool:
    """Whether Celery has made the app itself, because the process has no other."""
    # There is no flag. A project's own app with this name would look the same.
    return bool(app.main == "default")


def finalized_task(app: Any, name: str) -> Any | None:
    """Return a task of an app, or None if the app does not have it or is not finalized."""
    # The documented app.tasks finalizes the app, which imports modules too early: models are still
    # being defined here.
    return app._tasks.get(name) if app.finalized else None


def uses_quorum_queues(app: Any) -> bool:
    """Whether a queue of the app is a quorum queue of RabbitMQ."""
    # Celery delays messages natively there. Else: look for x-queue-type in each queue's arguments.
    return bool(detect_quorum_queues(app, "amqp")[0])


def repr_sizes(app: Any) -> tuple[int, int]:
    """Return the lengths of the texts of positional and of keyword arguments in messages."""
    # Projects may set them on a subclass of AMQP. Else: 1024, Celery's default.
    amqp = app.amqp
    return amqp.argsrepr_maxsize, amqp.kwargsrepr_maxsize


def queue_of(task: Any) -> str | None:
    """Return the name of the queue that a call without arguments is routed to, if any.

    Raises what the project's routers raise.
    """
    # As Celery.send_task does. Else: send the task to a recording.
    route = task.app.amqp.router.route(dict(task._get_exec_options()), task.name, (), {}, task)
    queue = route.get("queue")
    return None if queue is None else str(queue.name)


def named_options() -> set[str]:
    """Return the names of all options of sending that Celery and kombu have a parameter for."""
    # apply_async passes any **options to the transport, so typos are silent.
    functions = Task.apply_async, Task.apply, Celery.send_task, AMQP.as_task_v2, Producer.publish
    return {name for function in functions for name in inspect.signature(function).parameters}


# Tasks.

#: The option of a task with the function by which Celery checks its arguments.
HEADER: Final = "__header__"

#: Options of a task whose ``run`` already handles autoretry_for, so that Celery does not wrap it.
WITHOUT_AUTORETRY: Final[dict[str, Any]] = {"_orig_run": None}


def check_arguments(task: Any, args: Any, kwargs: Any) -> None:
    """Raise ``TypeError`` if arguments do not fit a task, as ``apply_async`` does."""
    # apply_async checks when it sends, which is too late for a task that waits for a commit. Else:
    # inspect.signature(task.run).bind(), which takes many times as long.
    task.__header__(*args, **kwargs)


def parameters_of(task: Any) -> Any:
    """Return the parameters with which Celery checks a task's arguments."""
    return inspect.signature(task.__header__).parameters


def has_own_method(kind: type, name: str) -> bool:
    """Whether a task's class overrides one of Celery's methods."""
    # Celery calls some hooks only if so, and counts monkey patches of itself as Celery's.
    return bool(mro_lookup(kind, name, stop={Task, object}, monkey_patched=["celery.app.task"]))


def with_autoretry(task: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is retried as the options of a task say: ``autoretry_for``."""
    # Celery would wrap the whole run, and also retry the fetch of rows. Else: a copy of its code.
    retried = _Retried(task, function)
    add_autoretry_behaviour(retried)
    run: Callable[..., Any] = retried.run
    return run


class _Retried:
    """A task as ``add_autoretry_behaviour`` sees it, with another function to run."""

    def __init__(self, task: Any, run: Callable[..., Any]) -> None:
        vars(self).update(task=task, run=run)

    def __getattr__(self, name: str) -> Any:
        if name in WITHOUT_AUTORETRY:  # by which Celery sees that it has wrapped a task already
            raise AttributeError(name)
        return getattr(self.task, name)

    def __delattr__(self, name: str) -> None:
        delattr(self.task, name)


def class_named(given: Any) -> Any:
    """Return the class that ``Task.Request`` is, or names as ``module:Class``."""
    return symbol_by_name(given)


# Requests: the messages that a task runs for.


def requests_of(task: Any) -> list[Any]:
    """Return the requests that run a task in this thread, the innermost last."""
    # The documented task.request is only the innermost one, and never None.
    requests: list[Any] = task.request_stack.stack
    return requests


def request_on_top(task: Any) -> Any | None:
    """Return the innermost request that runs a task in this thread, or None."""
    return task.request_stack.top


def push_request(task: Any, request: Any) -> None:
    """Make a request the current one of a task. Celery's ``push_request`` would copy it."""
    task.request_stack.push(request)


def pop_request(task: Any) -> None:
    """Undo ``push_request``."""
    task.request_stack.pop()


def derived_request(request: Any, without: Collection[str], **values: Any) -> Any:
    """Return a copy of a request without some values and without the tasks that it has sent."""
    # Context stores its values, and the results of the tasks that it has sent, in its __dict__.
    copied = {name: value for name, value in vars(request).items() if name not in without}
    return Context({**copied, "_children": None, "_protected": 0, **values})


def is_in_chord_unlock() -> bool:
    """Whether the running task is Celery's own task that joins the parts of a chord."""
    # It forwards results without reading them. Its name is not documented.
    task = get_current_task()
    return task is not None and task.name == "celery.chord_unlock"


def is_tracer(frame: FrameType) -> bool:
    """Whether a frame belongs to the code in which Celery calls a task's function."""
    # Otherwise a hook that unpacks the arguments looks like Celery, which unpacks them to call the
    # function. If this is always False, rows are fetched twice, and nothing else changes.
    return frame.f_globals.get("__name__") == "celery.app.trace"


def collect_sending(signature: Any, waiting: list[Callable[[], Any]]) -> None:
    """Make a signature append a call that sends it to a list, instead of being sent.

    For ``Task.on_replace``, which sends it by ``signature.delay()``.
    """
    # task.replace() sends inside the function's transaction. Else: a copy of on_replace.
    send = signature.apply_async

    def send_later(*args: Any, **kwargs: Any) -> None:
        waiting.append(functools.partial(send, *args, **kwargs))

    signature.apply_async = send_later
