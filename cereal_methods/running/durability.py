"""The app that records durable tasks, ``cereal_methods.records``, which registers itself here.

The rest of the library calls it when a task would be published, when a bulk sends many messages,
and when a task's function would run. Without such an app, durable tasks are refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.apps import apps

from ..exceptions import InvalidModelTask

if TYPE_CHECKING:
    from ..rows.reference import ModelReference, QuerySetReference, Reference

#: The app that records durable tasks.
APP: Final = "cereal_methods.records"


#: How many times a durable batch may end its process before it is divided.
DIVIDED: Final = 2


class TransactionLost(Exception):
    """The transaction that the rows of a batch share is lost, so none of them has run."""


class Durability(Protocol):
    """The interface of the app that records durable tasks."""

    def send(
        self,
        publish: Callable[..., Any],
        task: Any,
        args: Any,
        kwargs: Any,
        options: dict[str, Any],
    ) -> Any:
        """Record a task in the caller's transaction, and send it on commit.

        ``publish(args, kwargs, **options)`` is the ``apply_async`` of the task's class; its
        result is returned.
        """

    def send_rows(
        self,
        task: Any,
        rows: Iterable[tuple[str, Reference, str]],
        args: Any,
        kwargs: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        """Record a message for each row or batch, all in one transaction or none.

        ``rows`` are the ids of the messages, their rows, and the texts of the arguments.
        """

    def run(
        self, task: Any, request: Any, reference: ModelReference | None, call: Callable[[], Any]
    ) -> Any:
        """Call ``call`` once, which fetches the rows and runs the function; return its result.

        If it has returned before, return the recorded result. Raises what ``call`` raises, or
        ``Ignore`` if this delivery of the message does not run.
        """

    def run_batch(
        self,
        task: Any,
        request: Any,
        rows: QuerySetReference,
        call: Callable[[], Any],
        divide: Callable[[], Any],
    ) -> Any:
        """Call ``call`` once, which runs the rows of a batch; return the outcome.

        If the batch cannot run as a whole, ``divide`` is called instead, which sends a message for
        each row that has not ended.
        """

    def run_row(
        self, task: Any, request: Any, reference: ModelReference, call: Callable[[], Any]
    ) -> Any:
        """Run one row of a batch and return its result; roll back only this row if it fails.

        Raises what ``call`` raises, or ``TransactionLost``.
        """

    def records_canvas(self, app: Any, canvas: Mapping[str, Any]) -> bool:
        """Whether every task of a canvas that is sent at once is durable."""


_registered: list[Durability] = []

#: The ids of the Celery apps whose durable tasks are not recorded, once for each ``turn_off``.
_off: list[int] = []


def register(durability: Durability) -> None:
    """Use ``durability`` to record the durable tasks of this process."""
    _registered[:] = [durability]


def installed(name: str) -> Durability:
    """Return what records durable tasks. Raises ``InvalidModelTask`` if no app does."""
    if not _registered:
        raise missing(name)
    return _registered[0]


def records_canvas(app: Any, canvas: Mapping[str, Any]) -> bool:
    """Whether a canvas is recorded in the transaction that sends it."""
    return bool(_registered) and is_on(app) and _registered[0].records_canvas(app, canvas)


def is_on(app: Any) -> bool:
    """Whether an app's durable tasks are recorded: not in eager mode or under the recorder."""
    return not is_off(app) and not app.conf.task_always_eager


def is_off(app: Any) -> bool:
    """Whether ``turn_off`` has turned off an app's durable tasks."""
    return id(app) in _off


def turn_off(app: Any) -> Callable[[], None]:
    """Send an app's durable tasks on commit, without records. Return what turns them on again."""
    _off.append(id(app))
    return functools.partial(_off.remove, id(app))


def acknowledges_limits(task: Any) -> bool:
    """Whether a message is acknowledged after a time limit has ended it."""
    both = task.acks_on_failure_or_timeout
    return getattr(task, "acks_on_timeout", True if both is None else both) is not False


def check_single(task: Any) -> None:
    """Raise ``InvalidModelTask`` if one task would make many calls of a durable method."""
    if task.target.is_durable:
        raise InvalidModelTask(
            f"{task.name} is durable, and has a record of each call; map, starmap and chunks make "
            "many calls in one task. Send a group of its signatures instead.",
            task.name,
        )


def check(name: str) -> None:
    """Raise ``InvalidModelTask`` if the app that records durable tasks is not installed."""
    if apps.apps_ready and not apps.is_installed(APP):
        raise missing(name)


def missing(name: str) -> InvalidModelTask:
    """Return the error of a durable task in a project without the app that records it."""
    return InvalidModelTask(
        f"{name} is durable, but no app records durable tasks here. Add {APP!r} to INSTALLED_APPS "
        "and run migrate, or remove durable=True.",
        name,
    )
