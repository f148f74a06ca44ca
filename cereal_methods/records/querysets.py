"""Many records: to find, to retry and to cancel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.utils import timezone

from ..rows.reference import ModelReference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .models import TaskRecord

    _QuerySet = models.QuerySet[TaskRecord]
else:
    _QuerySet = models.QuerySet

#: Records without a message cannot be sent again: those of tasks that came without a record.
_HAS_MESSAGE = ~models.Q(envelope="")


class TaskRecordQuerySet(_QuerySet):
    """A queryset of records; also what ``TaskRecord.objects`` offers."""

    def for_instance(self, instance: models.Model | ModelReference) -> TaskRecordQuerySet:
        """Return the records of a row's methods, on the database that it is written to."""
        reference = instance
        if isinstance(reference, models.Model):
            reference = ModelReference.of(reference)
        model, row = row_of(reference)
        return self.using(reference.using).filter(model=model, row=row)

    def waiting(self) -> TaskRecordQuerySet:
        """Return what was not sent yet, or waits to be sent again."""
        return self.filter(state="waiting")

    def sent(self) -> TaskRecordQuerySet:
        """Return what the broker has, or a worker that has not ended it."""
        return self.filter(state="sent")

    def running(self) -> TaskRecordQuerySet:
        """Return what is seen running; a method in a transaction is seen as sent."""
        return self.filter(state="running")

    def done(self) -> TaskRecordQuerySet:
        """Return what has ended well."""
        return self.filter(state="done")

    def failed(self) -> TaskRecordQuerySet:
        """Return what has failed."""
        return self.filter(state="failed")

    def canceled(self) -> TaskRecordQuerySet:
        """Return what was canceled."""
        return self.filter(state="canceled")

    def expired(self) -> TaskRecordQuerySet:
        """Return what nobody took in time."""
        return self.filter(state="expired")

    def ended(self) -> TaskRecordQuerySet:
        """Return what will not run any more, unless it is retried."""
        return self.filter(state__in=["done", "failed", "canceled", "expired"])

    def unsent(self, seconds: float = 60) -> TaskRecordQuerySet:
        """Return what should have been sent so many seconds ago, and was not."""
        return self.waiting().filter(send_at__lt=timezone.now() - timedelta(seconds=seconds))

    def cancel(self) -> int:
        """Let the tasks never begin; return how many of them will not.

        What has ended is left alone, and so is what is running now.
        """
        now = timezone.now()
        found = self.filter(state__in=["waiting", "sent"])
        return found._change(state="canceled", ended_at=now, error="Canceled.")

    def retry(self, at: datetime | None = None) -> int:
        """Send the very messages again, now or later; return how many of them.

        What was not failed, canceled or expired is left alone.
        """
        found = self.filter(_HAS_MESSAGE, state__in=["failed", "canceled", "expired"])
        return found._change(
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
        """Delete what is done, was canceled or has expired so long ago; return how many.

        Failed records stay.
        """
        until = timezone.now() - older_than
        found = self.filter(state__in=["done", "canceled", "expired"], ended_at__lt=until)
        number = 0
        while ids := list(found.values_list("pk", flat=True)[:1000]):
            number += self.model._base_manager.using(self.db).filter(pk__in=ids).delete()[0]
        return number

    def _change(self, **values: Any) -> int:
        """Update records that nobody holds now; return how many."""
        return change(self.using(self.db), values)


def row_of(reference: ModelReference | None) -> tuple[str, str]:
    """Return a row's label and its key as text, as records hold them."""
    if reference is None:
        return "", ""
    return reference.label[:100], str(reference.pk)[:255]


def change(records: Any, values: Mapping[str, Any]) -> int:
    """Update the records of a queryset that nobody holds now; return how many.

    A task that runs holds its record: it is not waited for.
    """
    using = records.db
    features: Any = connections[using].features
    if not features.has_select_for_update_skip_locked:
        return int(records.update(**values))
    free = records.select_for_update(skip_locked=True).order_by()
    with transaction.atomic(using=using):
        ids = list(free.values_list("pk", flat=True))
        base = records.model._base_manager.using(using)
        return int(base.filter(pk__in=ids).update(**values)) if ids else 0
