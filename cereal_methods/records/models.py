"""The record of a durable task."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from django.db import models
from django.utils import timezone

from .fields import LONGEST_ID, TaskIdField
from .indexes import NotDoneIndex
from .querysets import TaskRecordQuerySet

if TYPE_CHECKING:
    _Text: TypeAlias = models.Field[str, str]
    _Number: TypeAlias = models.Field[int, int]
    _Moment: TypeAlias = models.Field[datetime, datetime]
    _MomentOrNone: TypeAlias = models.Field[datetime | None, datetime | None]
    _Bytes: TypeAlias = models.Field[bytes, bytes]
    _BytesOrNone: TypeAlias = models.Field[bytes | None, bytes | None]


class State(models.TextChoices):
    """The state of a durable task."""

    WAITING = "waiting"
    SENT = "sent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


#: The states of tasks that have ended. They run again only if they are retried.
ENDED: Final = (State.DONE, State.FAILED, State.CANCELED, State.EXPIRED)


class TaskRecord(models.Model):
    """A durable task: its message, its state and how it ended.

    The record is on the database that the task's row is written to. ``state`` is

    ``waiting``  not sent yet, or to be sent again at ``send_at``;
    ``sent``     sent to the broker, or running in a transaction that has not committed;
    ``running``  running with ``atomic=False``, or again after its worker died;
    ``done``     the method returned, and its transaction is committed;
    ``failed``   the method raised an exception, or ended its process too often;
    ``canceled`` the task does not run: ``cancel()``, a revoke, ``on_missing="discard"``;
    ``expired``  no worker took the task before ``expires_at``.
    """

    State = State

    id = TaskIdField(primary_key=True, max_length=LONGEST_ID)
    state: _Text = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    task: _Text = models.CharField(max_length=255)
    #: The row that the method runs on: the label of its model, and its primary key as text.
    model: _Text = models.CharField(max_length=100, default="", blank=True)
    row: _Text = models.CharField(max_length=255, default="", blank=True)

    created_at: _Moment = models.DateTimeField(default=timezone.now)
    send_at: _Moment = models.DateTimeField(default=timezone.now)
    expires_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)
    sent_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)
    started_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)
    ended_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)

    #: How often the method started, and how often its process ended before the method did.
    attempts: _Number = models.PositiveIntegerField(default=0)
    crashes: _Number = models.PositiveIntegerField(default=0)
    #: The number of the task's current message: each retry has its own.
    turn: _Number = models.PositiveIntegerField(default=0)
    error: _Text = models.TextField(default="", blank=True)
    traceback: _Text = models.TextField(default="", blank=True)

    #: The message: its headers and properties as JSON, and its encoded body.
    envelope: _Text = models.TextField(default="", blank=True)
    body: _Bytes = models.BinaryField(default=b"")
    #: The encoded return value of the method. ``None`` if the method returned ``None``.
    result: _BytesOrNone = models.BinaryField(null=True)

    # A manager with the methods of the queryset.
    objects: TaskRecordQuerySet = cast("TaskRecordQuerySet", TaskRecordQuerySet.as_manager())

    class Meta:
        """One index finds the records that are due, the other those of a row."""

        indexes = (
            NotDoneIndex(fields=["state", "send_at"], name="cereal_records_due"),
            models.Index(fields=["model", "row"], name="cereal_records_row"),
        )

    def __str__(self) -> str:
        return f"{self.task}[{self.id}]"

    def __repr__(self) -> str:
        return f"<TaskRecord {self.task}[{self.id}] {self.state}>"

    @property
    def has_ended(self) -> bool:
        """Whether the task has ended. It runs again only if it is retried."""
        return self.state in ENDED

    @property
    def age(self) -> timedelta:
        """The time since the task was created."""
        age: timedelta = timezone.now() - self.created_at
        return age

    def cancel(self) -> bool:
        """Cancel the task, and return whether it was canceled.

        A task that has ended or is running is not canceled.
        """
        return self._refreshed(self._queryset().cancel())

    def retry(self, at: datetime | None = None) -> bool:
        """Send the same message again, and return whether it will be sent.

        Only a task that has failed, was canceled or has expired can be retried.
        """
        return self._refreshed(self._queryset().retry(at))

    def _queryset(self) -> TaskRecordQuerySet:
        return type(self).objects.using(self._state.db).filter(pk=self.pk)

    def _refreshed(self, number: int) -> bool:
        self.refresh_from_db()
        return number > 0
