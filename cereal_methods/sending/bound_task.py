"""The Celery task of a bound method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from . import registry
from .owner import owner_of
from .proxies import Proxy

if TYPE_CHECKING:
    from celery import Task

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class BoundTask(Proxy, Generic[P, R_co]):
    """A bound method with its Celery task."""

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Call the method, in this process."""

    @property
    def name(self) -> str:
        """The name of the Celery task: ``shop.models.Order.ship``."""
        name: str = self._self_parent.task_name(*owner_of(self))
        return name

    @property
    def task(self) -> Task[..., R_co]:
        """The Celery task, of the current app."""
        task: Task[..., R_co] = registry.registered_task(self.name)
        return task

    def _waits_for_commit(self, task: Any) -> bool:
        return registry.waits_for_commit(task) and not task.app.conf.task_always_eager
