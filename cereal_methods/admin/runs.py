"""A run: a method that was sent from the admin, and its record in the result backend.

The record names the model and the method, and says who sent it and when. A run can be found
through the admin of its own model only, because its failures may reveal what is in the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from celery.states import SUCCESS
from django.urls import reverse
from django.utils import timezone

from ..exceptions import ResultsNotKept
from ..results.bulk import BulkResult

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db import models


@dataclass(frozen=True, slots=True)
class Run:
    """A method that was sent for rows, by a user of the admin."""

    result: BulkResult
    label: str
    method: str
    user: str
    at: datetime

    def save(self) -> None:
        """Store the run in the result backend. Raises ``ResultsNotKept`` if there is none."""
        self.result.save()
        record = [self.label, self.method, self.user, self.at.isoformat()]
        self.result.app.backend.store_result(_record_id(self.result.id), record, SUCCESS)

    @classmethod
    def of(cls, result: BulkResult, model: type[models.Model], method: str, user: Any) -> Run:
        """Return the run of a bulk that ``user`` is sending now."""
        return cls(result, model._meta.label, method, str(user.pk), timezone.now())

    @classmethod
    def find(cls, bulk_id: UUID | str, model: type[models.Model]) -> Run | None:
        """Return the model's run with this id, or None if it does not exist or has expired."""
        try:
            result = BulkResult.restore(str(bulk_id))
        except ResultsNotKept:
            return None
        if result is None:
            return None
        meta = result.app.backend.get_task_meta(_record_id(result.id), cache=False)
        match meta["result"]:
            case [str(label), str(method), str(user), str(at)] if label == model._meta.label:
                return cls(result, label, method, user, datetime.fromisoformat(at))
        return None


def _record_id(bulk_id: str) -> str:
    return str(uuid5(UUID(bulk_id), "admin"))


def url_of(model_admin: ModelAdmin[Any], name: str, *args: Any) -> str:
    """Return the URL of a page of the model's admin. Raises ``NoReverseMatch``."""
    opts = model_admin.opts
    view = f"admin:{opts.app_label}_{opts.model_name}_{name}"
    return reverse(view, args=args, current_app=model_admin.admin_site.name)
