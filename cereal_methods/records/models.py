"""The record of a durable task."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from django.db import models
from django.utils import timezone

from .fields import LONGEST_ID, TaskIdField
from .querysets import TaskRecordQuerySet

if TYPE_CHECKING:
    _Text: TypeAlias = models.Field[str, str]
    _Number: TypeAlias = models.Field[int, int]
    _Moment: TypeAlias = models.Field[datetime, datetime]
    _MomentOrNone: TypeAlias = models.Field[datetime | None, datetime | None]
    _Bytes: TypeAlias = models.Field[bytes, bytes]
    _BytesOrNone: TypeAlias = models.Field[bytes | None, bytes | None]


class State(models.TextChoices):
    """What a record says of its task."""

    WAITING = "waiting"
    SENT = "sent"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


#: The states of tasks that will not run any more, unless they are retried.
ENDED: Final = (State.DONE, State.FAILED, State.CANCELED, State.EXPIRED)


class TaskRecord(models.Model):
    """A durable task: its message until it was sent, and how it has ended.

    It lives on the database that the task's row is written to. ``state`` is

    ``waiting``  not sent yet, or to be sent again at ``send_at``;
    ``sent``     handed to the broker. A method in a transaction is seen so until it commits;
    ``running``  begun, where that is committed before the end: with ``atomic=False``, and for
                 what was delivered again;
    ``done``     the method has returned, and its transaction has committed;
    ``failed``   the method has raised, or has ended its process too often;
    ``canceled`` it will not run: by ``cancel()``, or as its row is gone and it says so;
    ``expired``  nobody took it before ``expires_at``.
    """

    State = State

    id = TaskIdField(primary_key=True, max_length=LONGEST_ID)
    state: _Text = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    task: _Text = models.CharField(max_length=255)
    #: The row that a method runs on: its model's label, and its key as text.
    model: _Text = models.CharField(max_length=100, default="", blank=True)
    row: _Text = models.CharField(max_length=255, default="", blank=True)

    created_at: _Moment = models.DateTimeField(default=timezone.now)
    send_at: _Moment = models.DateTimeField(default=timezone.now)
    expires_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)
    sent_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)
    started_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)
    ended_at: _MomentOrNone = models.DateTimeField(null=True, blank=True)

    #: How often the method has begun, and how often its process has ended before it did.
    attempts: _Number = models.PositiveIntegerField(default=0)
    crashes: _Number = models.PositiveIntegerField(default=0)
    #: Which of the task's messages counts: each retry has one of its own.
    turn: _Number = models.PositiveIntegerField(default=0)
    error: _Text = models.TextField(default="", blank=True)
    traceback: _Text = models.TextField(default="", blank=True)

    #: The message: what stands around its body, as JSON, and the body as it is sent.
    envelope: _Text = models.TextField(default="", blank=True)
    body: _Bytes = models.BinaryField(default=b"")
    #: What the method has returned, encoded; ``None`` where that is ``None``.
    result: _BytesOrNone = models.BinaryField(null=True)

    # A manager, with all that its queryset offers.
    objects: TaskRecordQuerySet = cast("TaskRecordQuerySet", TaskRecordQuerySet.as_manager())

    class Meta:
        """One index finds what is due, the other a row's tasks."""

        indexes = (
            models.Index(fields=["state", "send_at"], name="cereal_records_due"),
            models.Index(fields=["model", "row"], name="cereal_records_row"),
        )

    def __str__(self) -> str:
        return f"{self.task}[{self.id}]"

    def __repr__(self) -> str:
        return f"<TaskRecord {self.task}[{self.id}] {self.state}>"

    @property
    def has_ended(self) -> bool:
        """Whether the task will not run any more, unless it is retried."""
        return self.state in ENDED

    @property
    def age(self) -> timedelta:
        """How long ago the task was sent by its caller."""
        age: timedelta = timezone.now() - self.created_at
        return age

    def cancel(self) -> bool:
        """Let the task never begin; tell whether that is so now.

        False for one that has ended, and for one that is running.
        """
        return self._changed(self._queryset().cancel())

    def retry(self, at: datetime | None = None) -> bool:
        """Send the very message again, on a fresh row; tell whether it will be.

        False unless the task has failed, was canceled or has expired.
        """
        return self._changed(self._queryset().retry(at))

    def _queryset(self) -> TaskRecordQuerySet:
        return type(self).objects.using(self._state.db).filter(pk=self.pk)

    def _changed(self, number: int) -> bool:
        self.refresh_from_db()
        return number > 0
