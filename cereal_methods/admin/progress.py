"""The progress of a run: its page, and the numbers and failures on it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch
from django.utils.formats import number_format
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..django_api.admin import may_view, quote
from ..results.counts import Counts, Failure
from .actions import method_actions
from .dispatch import rows_of
from .runs import Run, url_of

if TYPE_CHECKING:
    from uuid import UUID

    from django.contrib.admin import ModelAdmin
    from django.db import models
    from django.http import HttpRequest

    from .actions import TaskAdmin

logger = logging.getLogger(__name__)

#: How many failures a page lists.
LISTED: Final = 100

#: How many failures are looked up at once.
_READ: Final = 500


class Row(NamedTuple):
    """A row that has failed: its text, a link to its page or nothing, and the error."""

    text: str
    url: str
    error: str


def show_run(model_admin: TaskAdmin, request: HttpRequest, bulk_id: UUID) -> HttpResponseBase:
    """Return the page of a run or, if it does not exist, the list of rows with a message."""
    status = 200
    progress: dict[str, Any] = {}
    run = None
    try:
        run = Run.find(bulk_id, model_admin.model)
        if run is not None:
            progress = progress_of(run, model_admin, request)
    except Exception:  # result backends raise errors of many kinds
        logger.exception("The run %s could not be read", bulk_id)
        status = 503
    if run is None and status == 200:
        text = _("Run %(id)s does not exist, or its results have expired.") % {"id": bulk_id}
        model_admin.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(url_of(model_admin, "changelist"))
    titles = _titles(model_admin)
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": titles.get(run.method, run.method) if run else _("Run"),
        "rows": rows_of(model_admin.model, run.result.total) if run else "",
        "run": run,
        "user_name": _user_name(run.user) if run else "",
        "progress": progress,
        "progress_url": url_of(model_admin, "model_task_progress", bulk_id),
        "media": model_admin.media,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "cereal_methods/admin/run.html", context, status=status)


def progress_response(model_admin: TaskAdmin, request: HttpRequest, bulk_id: UUID) -> JsonResponse:
    """Return the numbers and failures of a run as JSON.

    The status is 404 if the run does not exist, and 503 if the backend cannot be reached.
    """
    try:
        run = Run.find(bulk_id, model_admin.model)
        if run is None:
            return JsonResponse({}, status=404)
        return JsonResponse(progress_of(run, model_admin, request))
    except Exception:  # result backends raise errors of many kinds
        logger.exception("The run %s could not be read", bulk_id)
        return JsonResponse({}, status=503)


def progress_of(run: Run, model_admin: ModelAdmin[Any], request: HttpRequest) -> dict[str, Any]:
    """Return what the page shows of a run, in the user's language."""
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

    Only the user who started the run sees failures of other rows, because errors may reveal
    what is in a row.
    """
    failures = run.result.failures()
    is_own = run.user == str(request.user.pk)
    rows: list[Row] = []
    for first in range(0, len(failures), _READ):
        some = failures[first : first + _READ]
        visible = _visible(some, model_admin, request)
        rows += [
            _row(failure, visible.get(failure.key), model_admin)
            for failure in some
            if is_own or failure.key in visible
        ]
        if len(rows) >= LISTED:
            break
    return rows[:LISTED]


def _visible(
    failures: list[Failure], model_admin: ModelAdmin[Any], request: HttpRequest
) -> dict[Any, models.Model]:
    keys = [failure.key for failure in failures if failure.key is not None]
    rows = model_admin.get_queryset(request).filter(pk__in=keys)
    return {row.pk: row for row in rows if may_view(model_admin, request, row)}


def _titles(model_admin: TaskAdmin) -> dict[str, str]:
    return {action.name: action.title for action in method_actions(model_admin)}


def _user_name(key: str) -> str:
    user = get_user_model()._default_manager.filter(pk=key).first()
    return "" if user is None else str(user.get_username())


def _row(failure: Failure, row: models.Model | None, model_admin: ModelAdmin[Any]) -> Row:
    opts = model_admin.opts
    if row is None:
        name = _("%(name)s %(key)s") % {"name": capfirst(opts.verbose_name), "key": failure.key}
        return Row(_("unknown") if failure.key is None else name, "", failure.error)
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
    """Return the numbers that are usually 0, as text, if they are not."""
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
