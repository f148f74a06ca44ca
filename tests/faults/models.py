"""Parcels, whose methods count in the ledger and otherwise do what a test needs."""

from __future__ import annotations

import time
from typing import Any

from django.db import OperationalError, models

from cereal_methods import model_task, task

from . import ledger


class Sender(models.Model):
    name = models.CharField(max_length=20, default="Ada")


class Parcel(models.Model):
    sender = models.ForeignKey(Sender, models.CASCADE, null=True)
    weight = models.IntegerField(default=0)

    @model_task(bind=True)
    def handle(self, task: Any, seconds: float = 0, *others: Any) -> int:
        """Take some time, and no query."""
        return self._handle(task, seconds)

    @model_task(bind=True, serializer="json")
    def handle_as_json(self, task: Any, seconds: float = 0) -> int:
        """Do the same, with a message in Celery's own json."""
        return self._handle(task, seconds)

    @model_task(bind=True, select_related="sender", prefetch_related="sender__parcel_set")
    def handle_related(self, task: Any, seconds: float = 0) -> int:
        """Do the same, with other rows at hand."""
        return self._handle(task, seconds)

    @model_task(bind=True, select_for_update=True)
    def handle_locked(self, task: Any, seconds: float = 0) -> int:
        """Do the same, in a transaction."""
        return self._handle(task, seconds)

    @model_task(bind=True, select_for_update={"batch": True})
    def handle_together(self, task: Any, seconds: float = 0) -> int:
        """Do the same, all rows of a batch in one transaction."""
        return self._handle(task, seconds)

    @model_task(bind=True, acks_late=True, reject_on_worker_lost=True)
    def handle_late(self, task: Any, seconds: float = 0) -> int:
        """Do the same, and acknowledge the message after that."""
        return self._handle(task, seconds)

    @model_task(bind=True)
    def fill(self, task: Any, megabytes: int) -> int:
        """Use some memory."""
        data = bytearray(megabytes * 1_000_000)
        data[::4096] = b"x" * len(data[::4096])
        return self._handle(task, 0)

    @model_task(
        bind=True,
        select_for_update=True,
        autoretry_for=(OperationalError,),
        max_retries=50,
        retry_backoff=1,
        retry_backoff_max=2,
    )
    def weigh(self, task: Any) -> None:
        """Write into the row in the transaction that locks it, and again if that fails."""
        self.weight += 1
        self.save()
        ledger.begin(task.request.id)

    @model_task(acks_late=True, reject_on_worker_lost=True)
    def tick(self) -> int:
        """Count, with the row's key, and fail for bad rows."""
        ledger.begin(str(self.pk))
        time.sleep(0.001)
        if self.weight < 0:
            raise ValueError(f"parcel {self.pk} is bad")
        return int(self.pk)

    @model_task
    def itself(self) -> Parcel:
        """Return the parcel."""
        return self

    def _handle(self, task: Any, seconds: float) -> int:
        ledger.begin(task.request.id)
        if seconds:
            time.sleep(seconds)
        ledger.end(task.request.id)
        return int(self.pk)


@task(bind=True)
def handle_all(self: Any, parcels: list[Parcel], senders: list[Sender]) -> int:
    """Count that the rows have arrived."""
    ledger.begin(self.request.id)
    return len(parcels) + len(senders)
