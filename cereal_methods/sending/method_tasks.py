"""The method tasks of this process, as ``register`` has made them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from django.apps import apps

from ..celery_api.tasks import queue_of
from ..running.target import policy_of
from . import registry

if TYPE_CHECKING:
    from django.db import models

    from ..running.policy import RowPolicy


@dataclass(frozen=True, slots=True)
class MethodTask:
    """A method that is a Celery task: ``shop.Order.ship``."""

    model: type[models.Model]
    #: The method's name; for a manager's method ``objects.count_all``.
    path: str
    #: What the method is called on.
    runs_on: Literal["row", "class", "manager"]
    #: The name of the Celery task.
    name: str
    #: Former names, under which messages still run.
    aliases: tuple[str, ...]

    @property
    def label(self) -> str:
        """The model's label and the method: ``shop.Order.ship``."""
        return f"{self.model._meta.label}.{self.path}"

    @property
    def task(self) -> Any:
        """The Celery task, of the current app."""
        return registry.registered_task(self.name)

    @property
    def description(self) -> str:
        """The first line of the method's docstring."""
        return (inspect.getdoc(self.task.run) or "").partition("\n")[0]

    @property
    def policy(self) -> RowPolicy:
        """How the task fetches its row, and what it does if it cannot."""
        return policy_of(self.task)

    @property
    def on_commit(self) -> bool:
        """Whether the task is sent when the transaction commits."""
        return registry.waits_for_commit(self.task)

    @property
    def queue(self) -> str | None:
        """The queue that the current app sends it to, or None if its arguments decide that."""
        try:
            return queue_of(self.task)
        except Exception:
            # The queue does not exist, or a router needs the arguments, which are missing here.
            return None


_method_tasks: Final[dict[str, MethodTask]] = {}


def add(method_task: MethodTask) -> None:
    """Add a method task, in place of one that had its name."""
    _method_tasks[method_task.name] = method_task


def method_tasks() -> list[MethodTask]:
    """Return the method tasks of all installed models, sorted by label."""
    models = set(apps.get_models())
    installed = (each for each in _method_tasks.values() if each.model in models)
    return sorted(installed, key=lambda each: each.label)
