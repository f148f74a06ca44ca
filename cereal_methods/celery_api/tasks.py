"""Celery's apps, tasks and requests; see the package."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any, Final

# An alias costs nothing when a task is sent. The documented celery.current_app and
# celery.current_task are proxies, which look up the same on each access to an attribute.
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

# What Celery itself reads a message's times and a task's rate_limit with.
from celery.utils.time import maybe_iso8601 as maybe_iso8601
from celery.utils.time import maybe_make_aware as maybe_make_aware
from celery.utils.time import rate as rate
from kombu import Producer

# Apps.


def active_apps() -> list[Any]:
    """Return the Celery apps of this process, in any order."""
    # Messages are accepted by a project's apps and not by the current one alone. Celery lists
    # them nowhere else. It is a WeakSet: it changes while one iterates over it.
    return list(_get_active_apps())


def is_fallback(app: Any) -> bool:
    """Whether Celery has made the app itself, because the process has no other."""
    # There is no flag. An app of the project's with this name would pass for it.
    return bool(app.main == "default")


def finalized_task(app: Any, name: str) -> Any | None:
    """Return a task of an app, or None if it has none or is not finalized."""
    # app.tasks, which is documented, finalizes the app, and with it imports nobody asked for:
    # models are still being defined here.
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
    """Return the name of the queue that a task is routed to without arguments, if any.

    Raises what the project's routers raise.
    """
    # As Celery.send_task does. Else: send the task, by a recording of messages.
    found = task.app.amqp.router.route(dict(task._get_exec_options()), task.name, (), {}, task)
    queue = found.get("queue")
    return None if queue is None else str(queue.name)


def named_options() -> set[str]:
    """Return the names of all options of sending that Celery and kombu have a parameter for."""
    # apply_async takes **options, and hands anything to the transport: typos are silent.
    functions = Task.apply_async, Task.apply, Celery.send_task, AMQP.as_task_v2, Producer.publish
    return {name for each in functions for name in inspect.signature(each).parameters}


# Tasks.

#: The option of a task that is the function which Celery checks its arguments with.
HEADER: Final = "__header__"

#: Options of a task whose run Celery is not to wrap for autoretry_for, since that is done.
WITHOUT_AUTORETRY: Final[dict[str, Any]] = {"_orig_run": None}


def check_arguments(task: Any, args: Any, kwargs: Any) -> None:
    """Raise ``TypeError`` if arguments do not fit a task, as ``apply_async`` does."""
    # apply_async checks when it sends, which is too late for what waits for a commit. Else:
    # inspect.signature(task.run).bind(), which takes many times as long.
    task.__header__(*args, **kwargs)


def parameters_of(task: Any) -> Any:
    """Return the parameters with which Celery checks a task's arguments."""
    return inspect.signature(task.__header__).parameters


def has_own_method(kind: type, name: str) -> bool:
    """Whether a task's class has a method of its own, in the place of Celery's."""
    # Celery calls some hooks only if so, and counts monkey patches of itself as Celery's.
    return bool(mro_lookup(kind, name, stop={Task, object}, monkey_patched=["celery.app.task"]))


def with_autoretry(task: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is retried as the options of a task say: ``autoretry_for``."""
    # Celery would wrap the whole run, and retry the fetch of rows too. Else: a copy of its code.
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
    # task.request, which is documented, is the last one alone, and never None.
    found: list[Any] = task.request_stack.stack
    return found


def request_on_top(task: Any) -> Any | None:
    """Return the innermost request that runs a task in this thread, or None."""
    return task.request_stack.top


def push_request(task: Any, request: Any) -> None:
    """Make a request the one that a task runs for. Celery's ``push_request`` makes a copy."""
    task.request_stack.push(request)


def pop_request(task: Any) -> None:
    """Take back what ``push_request`` did."""
    task.request_stack.pop()


def derived_request(request: Any, without: Collection[str], **values: Any) -> Any:
    """Return a request with another's values, but for some, that has sent no tasks itself."""
    # Context keeps its values, and the results of what was sent, in its __dict__.
    kept = {name: value for name, value in vars(request).items() if name not in without}
    return Context({**kept, "_children": None, "_protected": 0, **values})


def is_in_chord_unlock() -> bool:
    """Whether Celery's own task runs that joins the parts of a chord."""
    # It forwards results, and does not look at them. Its name is part of no contract.
    task = get_current_task()
    return task is not None and task.name == "celery.chord_unlock"


def is_tracer(frame: FrameType) -> bool:
    """Whether a frame is one of the code in which Celery calls a task's function."""
    # A hook that unpacks its arguments and Celery that unpacks them to call the function look
    # alike otherwise. If it never says so, rows are fetched a second time, and nothing breaks.
    return frame.f_globals.get("__name__") == "celery.app.trace"


def collect_sending(signature: Any, waiting: list[Callable[[], Any]]) -> None:
    """Make a signature append its sending to a list, in the place of being sent.

    For ``Task.on_replace``, which sends it by ``signature.delay()``.
    """
    # task.replace() sends inside the transaction of the function. Else: a copy of on_replace.
    send = signature.apply_async

    def send_later(*args: Any, **kwargs: Any) -> None:
        waiting.append(functools.partial(send, *args, **kwargs))

    signature.apply_async = send_later
