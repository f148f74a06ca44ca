"""Querysets of records: finding, retrying and canceling durable tasks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.utils import timezone

from ..rows.reference import ModelReference, QuerySetReference, Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .models import TaskRecord

    _QuerySet = models.QuerySet[TaskRecord]
else:
    _QuerySet = models.QuerySet

#: A record without a message cannot be sent again: its task is done, or ``send_task`` sent it.
_HAS_MESSAGE = ~models.Q(envelope="")

#: How many records are deleted with one statement.
_CHUNK = 1000


class TaskRecordQuerySet(_QuerySet):
    """A queryset of records. ``TaskRecord.objects`` has its methods too."""

    def for_instance(self, instance: models.Model | ModelReference) -> TaskRecordQuerySet:
        """Return the records of the tasks of a row, on the database that the row is written to."""
        reference = instance
        if isinstance(reference, models.Model):
            reference = ModelReference.of(reference)
        model, row = row_of(reference)
        return self.using(reference.using).filter(model=model, row=row)

    def waiting(self) -> TaskRecordQuerySet:
        """Return the records that are not sent yet, or wait to be sent again."""
        return self.filter(state="waiting")

    def sent(self) -> TaskRecordQuerySet:
        """Return the records that are sent, or that run in a transaction that has not committed."""
        return self.filter(state="sent")

    def running(self) -> TaskRecordQuerySet:
        """Return the records that are running. A method in a transaction is ``sent`` instead."""
        return self.filter(state="running")

    def done(self) -> TaskRecordQuerySet:
        """Return the records whose method returned."""
        return self.filter(state="done")

    def failed(self) -> TaskRecordQuerySet:
        """Return the records that failed."""
        return self.filter(state="failed")

    def canceled(self) -> TaskRecordQuerySet:
        """Return the records that were canceled."""
        return self.filter(state="canceled")

    def expired(self) -> TaskRecordQuerySet:
        """Return the records that no worker took before they expired."""
        return self.filter(state="expired")

    def ended(self) -> TaskRecordQuerySet:
        """Return the records that have ended. They run again only if they are retried."""
        return self.filter(state__in=["done", "failed", "canceled", "expired"])

    def unsent(self, seconds: float = 60) -> TaskRecordQuerySet:
        """Return the records that should have been sent so many seconds ago."""
        return self.waiting().filter(send_at__lt=timezone.now() - timedelta(seconds=seconds))

    def cancel(self) -> int:
        """Cancel the tasks, and return the number of those that were canceled.

        Tasks that have ended or are running are not canceled.
        """
        now = timezone.now()
        records = self.filter(state__in=["waiting", "sent"])
        return records._change(state="canceled", ended_at=now, error="Canceled.")

    def retry(self, at: datetime | None = None) -> int:
        """Send the same messages again, now or later, and return the number of tasks.

        Only tasks that have failed, were canceled or have expired are retried.
        """
        records = self.filter(_HAS_MESSAGE, state__in=["failed", "canceled", "expired"])
        return records._change(
            state="waiting",
            send_at=at or timezone.now(),
            expires_at=None,
            ended_at=None,
            crashes=0,
            turn=models.F("turn") + 1,
            error="",
            traceback="",
            result=None,
        )

    def purge(self, older_than: timedelta) -> int:
        """Delete the records that were done, canceled or expired so long ago; return their number.

        Failed records are kept.
        """
        until = timezone.now() - older_than
        records = self.filter(state__in=["done", "canceled", "expired"], ended_at__lt=until)
        ids = records.order_by("pk").values_list("pk", flat=True)
        number, last = 0, ""
        # Ordered by key, so that no query reads deleted rows again.
        while chunk := list(ids.filter(pk__gt=last)[:_CHUNK]):
            number += self.model._base_manager.using(self.db).filter(pk__in=chunk).delete()[0]
            last = chunk[-1]
        return number

    def _change(self, **values: Any) -> int:
        """Update the records that no transaction has locked, and return their number."""
        return change(self.using(self.db), values)


def row_of(reference: Reference | None) -> tuple[str, str]:
    """Return the label of a row's model and its primary key as text, as records store them.

    The rows of a batch have only the label.
    """
    if reference is None:
        return "", ""
    if isinstance(reference, QuerySetReference):
        return reference.label[:100], ""
    return reference.label[:100], str(reference.pk)[:255]


def change(records: Any, values: Mapping[str, Any]) -> int:
    """Update the records of a queryset that no transaction has locked, and return their number.

    A running task locks its record. This function does not wait for it.
    """
    using = records.db
    features: Any = connections[using].features
    if not features.has_select_for_update_skip_locked:
        return int(records.update(**values))
    unlocked = records.select_for_update(skip_locked=True).order_by()
    with transaction.atomic(using=using):
        ids = list(unlocked.values_list("pk", flat=True))
        base = records.model._base_manager.using(using)
        return int(base.filter(pk__in=ids).update(**values)) if ids else 0
