"""Sending a method from a page of the admin, which asks for its arguments first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.http import HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse

from ..django_api.admin import ACTION_CHECKBOX_NAME, AdminForm, quote
from .dispatch import Dispatch, rows_of
from .runs import url_of

if TYPE_CHECKING:
    from django import forms
    from django.db import models
    from django.http import HttpRequest

    from .actions import MethodAction, TaskAdmin

#: The prefix of the arguments' fields, since Django uses names such as action and index.
_PREFIX: Final = "argument"

#: The field of a form that was submitted, as in Django's confirmation of deletions.
_POST: Final = "post"


def run_on_selected(
    model_admin: TaskAdmin,
    request: HttpRequest,
    action: MethodAction,
    queryset: models.QuerySet[Any],
) -> HttpResponseBase | None:
    """Send a method for the selected rows, or ask for its arguments first."""
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
    bulk_id = Dispatch(model_admin, request, action).send(queryset, total, cleaned)
    return None if bulk_id is None else _to_run(model_admin, bulk_id)


def run_on_object(
    model_admin: TaskAdmin, request: HttpRequest, action: MethodAction, obj: models.Model
) -> HttpResponseBase:
    """Send a method for one object on ``POST``, or ask for its arguments first."""
    form = _form(action, request)
    change_url = url_of(model_admin, "change", quote(str(obj.pk)))
    if request.method != "POST" or (form is not None and not form.is_valid()):
        context = {"original": obj, "rows": str(obj), "cancel_url": change_url}
        return _ask(model_admin, request, action, form, context)
    cleaned = {} if form is None else form.cleaned_data
    bulk_id = Dispatch(model_admin, request, action, obj).send([obj], 1, cleaned)
    if bulk_id is None:
        return HttpResponseRedirect(change_url)
    return _to_run(model_admin, bulk_id)


def _form(action: MethodAction, request: HttpRequest) -> forms.Form | None:
    """Return the form, bound if it was submitted; None if nothing needs to be asked."""
    if not action.asks:
        return None
    form_class = action.form_class(request)
    if request.method == "POST" and _POST in request.POST:
        return form_class(request.POST, request.FILES, prefix=_PREFIX)
    return form_class(prefix=_PREFIX)


def _ask(
    model_admin: TaskAdmin,
    request: HttpRequest,
    action: MethodAction,
    form: Any,
    context: dict[str, Any],
) -> TemplateResponse:
    fields: Any = [(None, {"fields": list(form.fields) if form else []})]
    page = {
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
    return TemplateResponse(request, "cereal_methods/admin/ask.html", page)


def _to_run(model_admin: TaskAdmin, bulk_id: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(url_of(model_admin, "model_task_run", bulk_id))
