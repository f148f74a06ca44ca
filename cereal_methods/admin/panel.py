"""The panel on an object's page: buttons of its method tasks, and their last runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.template.response import TemplateResponse

from ..django_api.admin import quote
from .history import has_history, runs_of
from .runs import url_of

if TYPE_CHECKING:
    from django.db import models
    from django.http import HttpRequest, HttpResponse

    from .actions import TaskAdmin


def add_panel(
    model_admin: TaskAdmin,
    request: HttpRequest,
    response: HttpResponse,
    obj: models.Model,
) -> None:
    """Add the panel to an object's page, whatever template it has."""
    actions = model_admin.get_model_task_actions(request, obj)
    if not actions or not isinstance(response, TemplateResponse):
        return
    context = response.context_data or {}
    context.update(
        model_task_parent=response.resolve_template(response.template_name),
        model_task_buttons=[
            {
                "title": action.title,
                "asks": action.asks,
                "url": url_of(model_admin, "model_task", quote(str(obj.pk)), action.name),
            }
            for action in actions.values()
        ],
        model_task_history=has_history(actions.values()),
        model_task_runs=runs_of(obj, actions.values()),
    )
    response.context_data = context
    response.template_name = "cereal_methods/admin/change_form.html"
