"""A run: one dispatch from the admin, found again by the id of its bulk.

Beside what ``BulkResult.save`` keeps, the result backend keeps a record of which
model's method was run, by whom and when. A run is found under its own model alone,
so that the page of one model does not tell what became of another's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID, uuid5

from celery.states import SUCCESS
from django.contrib.admin.utils import quote
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..counts import Counts, Failure
from ..exceptions import ResultsNotKept
from ..tallies import BulkResult

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db import models
    from django.http import HttpRequest

#: How many failures a page shows.
SHOWN: Final = 100

#: How many failures are looked up at once.
_READ: Final = 500


class Row(NamedTuple):
    """A row that has failed, as it is shown: its text, a link to it if there is one, and why."""

    text: str
    url: str
    error: str


@dataclass(frozen=True, slots=True)
class Run:
    """A method that was sent for rows, by a user of the admin."""

    result: BulkResult
    label: str
    method: str
    user: str
    at: datetime

    def save(self) -> None:
        """Keep it in the result backend. Raises ``ResultsNotKept`` where there is none."""
        self.result.save()
        record = [self.label, self.method, self.user, self.at.isoformat()]
        self.result.app.backend.store_result(_record_id(self.result.id), record, SUCCESS)

    @classmethod
    def begin(cls, result: BulkResult, model: type[models.Model], method: str, user: Any) -> Run:
        """Return the run of a bulk that is being sent now."""
        return cls(result, model._meta.label, method, str(user.pk), timezone.now())

    @classmethod
    def find(cls, bulk_id: UUID | str, model: type[models.Model]) -> Run | None:
        """Return the model's run with this id, or None if there is none, or none any more."""
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


def progress_of(run: Run, model_admin: ModelAdmin[Any], request: HttpRequest) -> dict[str, Any]:
    """Return what the page shows of a run, with texts in the user's language."""
    counts = run.result.counts() or Counts(run.result.total)
    wrong = counts.wrong
    rows = failed_rows(run, model_admin, request) if wrong else []
    return {
        "total": counts.total,
        "completed": counts.completed,
        "is_complete": counts.completed >= counts.total,
        "status": _status(counts),
        "numbers": {
            "succeeded": _number(counts.succeeded),
            "failed": _number(counts.failed),
            "missing": _number(counts.missing),
            "waiting": _number(counts.total - counts.completed),
        },
        "also": _also(counts),
        "wrong": [name for name in ("failed", "missing") if getattr(counts, name)],
        "failures": [row._asdict() for row in rows],
        "more": _more(wrong - len(rows)),
    }


def failed_rows(run: Run, model_admin: ModelAdmin[Any], request: HttpRequest) -> list[Row]:
    """Return the run's first failures, with links to the rows that the user may see.

    Of rows that the user's list does not have, only the one who started the run reads
    what became of them: their errors may tell what is in them.
    """
    failures = run.result.failures()
    is_own = run.user == str(request.user.pk)
    rows: list[Row] = []
    for first in range(0, len(failures), _READ):
        some = failures[first : first + _READ]
        found = _visible(some, model_admin, request)
        rows += [
            _row(failure, found.get(failure.key), model_admin)
            for failure in some
            if is_own or failure.key in found
        ]
        if len(rows) >= SHOWN:
            break
    return rows[:SHOWN]


def _visible(
    failures: list[Failure], model_admin: ModelAdmin[Any], request: HttpRequest
) -> dict[Any, models.Model]:
    keys = [failure.key for failure in failures if failure.key is not None]
    rows = model_admin.get_queryset(request).filter(pk__in=keys)
    return {row.pk: row for row in rows if model_admin.has_view_or_change_permission(request, row)}


def url_of(model_admin: ModelAdmin[Any], name: str, *args: Any) -> str:
    """Return the URL of a page of the model's admin. Raises ``NoReverseMatch``."""
    opts = model_admin.opts
    found = f"admin:{opts.app_label}_{opts.model_name}_{name}"
    return reverse(found, args=args, current_app=model_admin.admin_site.name)


def _row(failure: Failure, row: models.Model | None, model_admin: ModelAdmin[Any]) -> Row:
    opts = model_admin.opts
    if row is None:
        known = _("%(name)s %(key)s") % {"name": capfirst(opts.verbose_name), "key": failure.key}
        return Row(_("unknown") if failure.key is None else known, "", failure.error)
    try:
        url = url_of(model_admin, "change", quote(str(row.pk)))
    except NoReverseMatch:
        url = ""
    return Row(str(row), url, failure.error)


def _status(counts: Counts) -> str:
    percent = counts.completed * 100 // counts.total if counts.total else 100
    return _("%(completed)s of %(total)s completed (%(percent)s %%)") % {
        "completed": _number(counts.completed),
        "total": _number(counts.total),
        "percent": percent,
    }


def _also(counts: Counts) -> str:
    """Return the numbers that seldom are something else than 0."""
    numbers = (
        (_("ignored"), counts.ignored),
        (_("revoked"), counts.revoked),
        (_("expired"), counts.expired),
    )
    return ", ".join(f"{name}: {_number(number)}" for name, number in numbers if number)


def _more(number: int) -> str:
    if number <= 0:
        return ""
    return ngettext(
        "%(number)s more row is not shown.", "%(number)s more rows are not shown.", number
    ) % {"number": _number(number)}


def _number(number: int) -> str:
    return str(number_format(number, force_grouping=True))
