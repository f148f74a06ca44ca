"""What durable tasks are kept in: an app that registers itself here, ``cereal_methods.records``.

The rest of the library asks it at four places: where a task would be published, where a bulk
sends many, where a task's function would run, and where a message ends without a run. It
knows nothing else of it. Without such an app a durable task is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.apps import apps

from ..exceptions import InvalidModelTask

if TYPE_CHECKING:
    from ..rows.reference import ModelReference, QuerySetReference

#: The app that keeps durable tasks.
APP: Final = "cereal_methods.records"


#: A durable batch whose process has died so often is divided.
DIVIDED: Final = 2


class TransactionLost(Exception):
    """The transaction that the rows of a batch share is lost, so none of them has run."""


class Durability(Protocol):
    """What keeps durable tasks."""

    def send(
        self,
        publish: Callable[..., Any],
        task: Any,
        args: Any,
        kwargs: Any,
        options: dict[str, Any],
    ) -> Any:
        """Keep a task in the caller's transaction, and send it when that has committed.

        ``publish(args, kwargs, **options)`` is the ``apply_async`` of the task's class; its
        result is returned.
        """

    def many(self, task: Any) -> AbstractContextManager[None]:
        """Keep what the block sends of a task together; the block is in one thread."""

    def run(
        self, task: Any, request: Any, reference: ModelReference | None, call: Callable[[], Any]
    ) -> Any:
        """Return what ``call`` returns, which fetches the rows and runs the function, once.

        Or what it has returned before. Raises what ``call`` raises, or ``Ignore`` where this
        delivery of the message is not to run.
        """

    def run_batch(
        self,
        task: Any,
        request: Any,
        rows: QuerySetReference,
        call: Callable[[], Any],
        divide: Callable[[], Any],
    ) -> Any:
        """Return the outcome that ``call`` returns, which runs the rows of a batch, once.

        ``divide`` sends a message for each row that has not ended, and returns the outcome: it
        is called where the batch cannot run as a whole.
        """

    def run_row(
        self, task: Any, request: Any, reference: ModelReference, call: Callable[[], Any]
    ) -> Any:
        """Return what ``call`` returns for a row of a batch, whose effects it undoes on failure.

        Raises what ``call`` raises, or ``TransactionLost``.
        """

    def keeps(self, app: Any, canvas: Mapping[str, Any]) -> bool:
        """Whether all that is sent at once of a canvas is durable, and so kept in a transaction."""


_registered: list[Durability] = []

#: The apps whose durable tasks are as others, by identity, as often as they were turned off.
_off: list[int] = []


def register(durability: Durability) -> None:
    """Let ``durability`` keep all durable tasks of the process."""
    _registered[:] = [durability]


def installed(name: str) -> Durability:
    """Return what keeps durable tasks. Raises ``InvalidModelTask`` where nothing does."""
    if not _registered:
        raise missing(name)
    return _registered[0]


def keeps(app: Any, canvas: Mapping[str, Any]) -> bool:
    """Whether a canvas is kept in the transaction in which it is sent."""
    return bool(_registered) and is_on(app) and _registered[0].keeps(app, canvas)


def is_on(app: Any) -> bool:
    """Whether an app's durable tasks are kept: not where tasks run eagerly, or are recorded."""
    return not is_off(app) and not app.conf.task_always_eager


def is_off(app: Any) -> bool:
    """Whether an app's durable tasks were turned off, whatever its settings are."""
    return id(app) in _off


def turn_off(app: Any) -> Callable[[], None]:
    """Let an app's durable tasks be as others, sent on commit; return what takes that back."""
    _off.append(id(app))
    return functools.partial(_off.remove, id(app))


def acknowledges_limits(task: Any) -> bool:
    """Whether a message is acknowledged that a time limit has ended, and not run again."""
    both = task.acks_on_failure_or_timeout
    return getattr(task, "acks_on_timeout", True if both is None else both) is not False


def check_single(task: Any) -> None:
    """Raise ``InvalidModelTask`` where one task is to make many calls of a durable method."""
    if task.target.is_durable:
        raise InvalidModelTask(
            f"{task.name} is durable, and has a record of each call; map, starmap and chunks make "
            "many calls in one task. Send a group of its signatures instead.",
            task.name,
        )


def check(name: str) -> None:
    """Raise ``InvalidModelTask`` where it is known that nothing keeps durable tasks."""
    if apps.apps_ready and not apps.is_installed(APP):
        raise missing(name)


def missing(name: str) -> InvalidModelTask:
    """Return the error of a durable task in a project that has no app for it."""
    return InvalidModelTask(
        f"{name} is durable, and nothing keeps durable tasks here. Add {APP!r} to INSTALLED_APPS "
        "and run migrate, or take durable=True away.",
        name,
    )
