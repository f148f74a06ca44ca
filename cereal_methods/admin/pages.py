"""The pages: what is asked before a method is sent, a run's progress, the object's panel."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, AdminForm
from django.contrib.admin.utils import quote
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..exceptions import CerealError
from .actions import method_actions
from .dispatch import Dispatch, reason_of, rows_of
from .history import is_kept, last_runs
from .runs import Run, progress_of, url_of

if TYPE_CHECKING:
    from uuid import UUID

    from django import forms
    from django.db import models
    from django.http import HttpRequest

    from .actions import MethodAction, TaskAdmin

logger = logging.getLogger(__name__)

#: The prefix of the arguments' fields: Django's own are called action, index and the like.
_PREFIX: Final = "argument"

#: The field that says that the page was filled in, as in Django's confirmation of deletions.
_POST: Final = "post"


def run_on_selected(
    model_admin: TaskAdmin,
    request: HttpRequest,
    action: MethodAction,
    queryset: models.QuerySet[Any],
) -> HttpResponseBase | None:
    """Send a method for the selected rows, or ask for what it needs first."""
    form = _form(action, request)
    total = queryset.count()
    if form is not None and not form.is_valid():
        return _ask(
            model_admin,
            request,
            action,
            form,
            {
                "rows": rows_of(action.model, total),
                "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
                "select_across": request.POST.get("select_across", "0"),
                "action_checkbox_name": ACTION_CHECKBOX_NAME,
                "cancel_url": request.get_full_path(),
            },
        )
    cleaned = {} if form is None else form.cleaned_data
    dispatch = _prepared(model_admin, request, action, queryset, total, cleaned)
    bulk_id = None if dispatch is None else dispatch.send()
    return None if bulk_id is None else _to_run(model_admin, bulk_id)


def run_on_object(
    model_admin: TaskAdmin, request: HttpRequest, action: MethodAction, obj: models.Model
) -> HttpResponseBase:
    """Send a method for one object (``POST``), or ask for what it needs first."""
    form = _form(action, request)
    change_url = url_of(model_admin, "change", quote(str(obj.pk)))
    if request.method != "POST" or (form is not None and not form.is_valid()):
        context = {"original": obj, "rows": str(obj), "cancel_url": change_url}
        return _ask(model_admin, request, action, form, context)
    cleaned = {} if form is None else form.cleaned_data
    dispatch = _prepared(model_admin, request, action, [obj], 1, cleaned, obj)
    bulk_id = None if dispatch is None else dispatch.send()
    if bulk_id is None:
        return HttpResponseRedirect(change_url)
    return _to_run(model_admin, bulk_id)


def show_run(model_admin: TaskAdmin, request: HttpRequest, bulk_id: UUID) -> HttpResponseBase:
    """Return the page of a run; without it, the list with a message."""
    status = 200
    progress: dict[str, Any] = {}
    run = None
    try:
        run = Run.find(bulk_id, model_admin.model)
        if run is not None:
            progress = progress_of(run, model_admin, request)
    except Exception:  # whatever a backend's client raises
        logger.exception("The run %s could not be read", bulk_id)
        status = 503
    if run is None and status == 200:
        told = _("There is no run %(id)s, or its results have expired.") % {"id": bulk_id}
        model_admin.message_user(request, told, messages.WARNING)
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


def tell_progress(model_admin: TaskAdmin, request: HttpRequest, bulk_id: UUID) -> JsonResponse:
    """Return the numbers and failures of a run; 404 without it, 503 if nothing answers."""
    try:
        run = Run.find(bulk_id, model_admin.model)
        if run is None:
            return JsonResponse({}, status=404)
        return JsonResponse(progress_of(run, model_admin, request))
    except Exception:  # whatever a backend's client raises
        logger.exception("The run %s could not be read", bulk_id)
        return JsonResponse({}, status=503)


def add_panel(
    model_admin: TaskAdmin,
    request: HttpRequest,
    response: HttpResponse,
    obj: models.Model,
) -> None:
    """Put the method tasks on an object's page, whatever template it has."""
    actions = model_admin.get_model_task_actions(request, obj)
    if not actions or not isinstance(response, TemplateResponse):
        return
    titles = {each.task.name: each.title for each in actions.values()}
    context = response.context_data or {}
    context.update(
        model_task_parent=response.resolve_template(response.template_name),
        model_task_buttons=[
            {
                "title": each.title,
                "asks": each.asks,
                "url": url_of(model_admin, "model_task", quote(str(obj.pk)), each.name),
            }
            for each in actions.values()
        ],
        model_task_history=is_kept(),
        model_task_runs=last_runs(obj, titles),
    )
    response.context_data = context
    response.template_name = "cereal_methods/admin/change_form.html"


def _form(action: MethodAction, request: HttpRequest) -> forms.Form | None:
    """Return the form, bound if it was filled in; None for what is to be sent without asking."""
    if not action.asks:
        return None
    is_filled = request.method == "POST" and _POST in request.POST
    form_class = action.form_class(request)
    if is_filled:
        return form_class(request.POST, request.FILES, prefix=_PREFIX)
    return form_class(prefix=_PREFIX)


def _prepared(
    model_admin: TaskAdmin,
    request: HttpRequest,
    action: MethodAction,
    rows: Any,
    total: int,
    cleaned: dict[str, Any],
    obj: models.Model | None = None,
) -> Dispatch | None:
    """Return what is to be sent; None, and a message, if the arguments cannot be."""
    try:
        return Dispatch.prepare(model_admin, request, action, rows, total, cleaned, obj)
    except (CerealError, TypeError) as error:
        logger.exception("%s was not sent", action.name)
        told = _("“%(title)s” was not sent: %(reason)s")
        reason = {"title": action.title, "reason": reason_of(error)}
        model_admin.message_user(request, told % reason, messages.ERROR)
        return None


def _ask(
    model_admin: TaskAdmin,
    request: HttpRequest,
    action: MethodAction,
    form: Any,
    context: dict[str, Any],
) -> TemplateResponse:
    fields: Any = [(None, {"fields": list(form.fields) if form else []})]
    own = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": action.title,
        "action": action,
        "adminform": AdminForm(form, fields, {}, (), model_admin) if form else None,
        "has_fields": bool(form and form.fields),
        "errors": form.errors if form else {},
        "media": model_admin.media + form.media if form else model_admin.media,
        **context,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "cereal_methods/admin/ask.html", own)


def _to_run(model_admin: TaskAdmin, bulk_id: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(url_of(model_admin, "model_task_run", bulk_id))


def _titles(model_admin: TaskAdmin) -> dict[str, str]:
    return {each.name: each.title for each in method_actions(model_admin)}


def _user_name(key: str) -> str:
    from django.contrib.auth import get_user_model

    user = get_user_model()._default_manager.filter(pk=key).first()
    return "" if user is None else str(user.get_username())
