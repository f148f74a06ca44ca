"""Parcels, whose methods are watched as they run."""

from __future__ import annotations

import time
from typing import Any

from django.db import connection, models

from cereal_methods import model_task
from tests.shop.probe import mark

from . import readers
from .looking import Watching, look_from_within


class SentManager(models.Manager["Parcel"]):
    """Parcels that were sent."""

    def get_queryset(self) -> models.QuerySet[Parcel]:
        return super().get_queryset().filter(is_sent=True)


class Sender(models.Model):
    name = models.CharField(max_length=20, default="Ada")


class Parcel(models.Model):
    sender = models.ForeignKey(Sender, models.CASCADE, null=True)
    number = models.CharField(max_length=20, default="7")
    is_sent = models.BooleanField(default=False)
    count = models.IntegerField(default=0)

    objects: models.Manager[Parcel] = models.Manager()
    sent = SentManager()

    @model_task(base=Watching, bind=True)
    def watched(self, task: Any, *args: Any, mode: str = "ok") -> str:
        """Look, and end as ``mode`` says."""
        return self._end(task, args, mode)

    @model_task(base=Watching, bind=True, select_for_update=True, select_related="sender")
    def watched_locked(self, task: Any, *args: Any, mode: str = "ok") -> str:
        """Do the same on a row that is locked."""
        mark("locked", id=task.request.id, is_locked=connection.in_atomic_block)
        return self._end(task, args, mode)

    @model_task(bind=True)
    def unwatched(self, task: Any, *args: Any, mode: str = "ok") -> str:
        """Do the same with a task class that has no hooks."""
        return self._end(task, args, mode)

    def _end(self, task: Any, args: Any, mode: str) -> str:
        look_from_within(self, args, {"mode": mode})
        if mode == "fail":
            raise ValueError("this fails")
        if mode == "retry" and not task.request.retries:
            raise task.retry(countdown=0)
        return self.number

    def _add(self) -> int:
        mark("begin", locked=connection.in_atomic_block)
        count = self.count
        time.sleep(0.004)
        self.count = count + 1
        self.save(update_fields=["count"])
        return self.count

    def _add_with(self, *args: Any, **named: Any) -> int:
        return self._add()

    @model_task(select_for_update=True)
    def add(self, *args: Any, carrier: str = "") -> int:
        """Add one, under lock."""
        return self._add()

    @model_task(select_for_update=True, base=readers.ByName)
    def add_by_name(self, *args: Any, carrier: str = "") -> int:
        """Add one, while a hook reads an argument by its name."""
        return self._add()

    @model_task(select_for_update=True, base=readers.ByPosition)
    def add_by_position(self, *args: Any, carrier: str = "") -> int:
        """Add one, while a hook reads an argument by its place."""
        return self._add()

    @model_task(select_for_update=True, base=readers.ByLoop)
    def add_by_loop(self, *args: Any, carrier: str = "") -> int:
        """Add one, while a hook loops over the arguments."""
        return self._add()

    @model_task(select_for_update=True, base=readers.OfNothing)
    def add_by_get(self, *args: Any, carrier: str = "") -> int:
        """Add one, while a hook asks for an argument that is not there."""
        return self._add()

    @model_task(select_for_update=True)
    def add_by_prerun(self, *args: Any, carrier: str = "") -> int:
        """Add one, while a handler of ``task_prerun`` reads a field of the row."""
        return self._add()

    @model_task(select_for_update=True, base=readers.Calling)
    def add_by_call(self, *args: Any, carrier: str = "") -> int:
        """Add one, while ``__call__`` reads a field of the row."""
        return self._add()

    @model_task(select_for_update=True, pydantic=readers.HAS_PYDANTIC)
    def add_by_pydantic(self, address: readers.Address | None = None, carrier: str = "") -> int:
        """Add one, with an argument that pydantic has read."""
        mark("address", kind=type(address).__name__)
        return self._add()

    @model_task(select_for_update=True, base=readers.All)
    def add_by_all(self, *args: Any, carrier: str = "") -> int:
        """Add one, while hooks read everything in every way."""
        return self._add()

    @model_task(
        manager="sent",
        select_related="sender",
        on_missing="discard",
        base=readers.All,
    )
    def ship_sent(self, *args: Any, carrier: str = "") -> list[Any]:
        """Return the number and whether the sender came along, of a parcel that was sent."""
        mark("begin", has_sender="sender" in self._state.fields_cache)
        return [self.number, self.sender.name if self.sender else None]


from .optional import Job  # noqa: E402, F401  (models are looked for here)
