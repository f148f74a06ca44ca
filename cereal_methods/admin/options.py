"""``ModelTaskAdmin``: a ``ModelAdmin`` that offers method tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from ..django_api.admin import (
    IS_POPUP_VAR,
    content_type_of,
    given_actions,
    is_list,
    made_action,
    may_view,
    redirect_from_missing,
    unquote,
)
from . import pages, panel, progress
from .actions import MethodAction, ModelTaskAction, method_actions
from .checks import check_actions
from .dispatch import rows_of

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db import models
    from django.template.response import TemplateResponse

M = TypeVar("M", bound="models.Model")

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin
else:

    class _ModelAdmin(admin.ModelAdmin, Generic[M]):
        """Django's ``ModelAdmin``, which is generic for type checkers only."""


class ModelTaskAdmin(_ModelAdmin[M]):
    """A ``ModelAdmin``, or a mixin for one, that offers method tasks of its model.

    Each entry of ``model_task_actions`` becomes an action on the selected rows and a button on
    the page of an object. If the method has arguments, a form asks for them. A page shows the
    progress of each run, and the admin's log gets an entry for it: see ``log_model_task``.
    """

    #: The methods to offer: their names, or a ``ModelTaskAction`` for a method with options.
    model_task_actions: Sequence[str | ModelTaskAction] = ()

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return the messages of the system checks for this class."""
        return [*super().check(**kwargs), *check_actions(self)]

    def get_model_task_actions(
        self, request: HttpRequest, obj: M | None = None
    ) -> dict[str, MethodAction]:
        """Return the method tasks that the user may run, by name.

        ``obj`` is the object whose page is shown, or None for the list. Override this method to
        leave some out.
        """
        actions = method_actions(self)
        return {action.name: action for action in actions if action.is_allowed(request, obj)}

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """Return the actions of the list: Django's and the method tasks."""
        found = dict(given_actions(super().get_actions, request, action_location))
        if self.actions is None or IS_POPUP_VAR in request.GET or not is_list(action_location):
            return found
        for name, action in self.get_model_task_actions(request).items():
            run = partial(_run_on_selected, action)
            found[name] = made_action(run, name, action.description)
        return found

    def get_urls(self) -> list[URLPattern]:
        """Return Django's URLs and those of method tasks and their runs."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_model_task"
        view = self.admin_site.admin_view
        own = [
            path("model-tasks/<uuid:bulk_id>/", view(self.model_task_run_view), name=f"{name}_run"),
            path(
                "model-tasks/<uuid:bulk_id>/progress/",
                view(self.model_task_progress_view),
                name=f"{name}_progress",
            ),
            path("<path:object_id>/model-tasks/<str:name>/", view(self.model_task_view), name=name),
        ]
        return [*own, *super().get_urls()]

    def log_model_task(
        self,
        request: HttpRequest,
        title: str,
        bulk_id: str,
        total: int,
        *,
        obj: models.Model | None = None,
    ) -> None:
        """Add an entry for a run to the admin's log, for an object or for the model.

        ``title`` is the method's title, ``bulk_id`` the id of the run's ``BulkResult`` and
        ``total`` the number of rows.
        """
        message = _("Sent “%(title)s” (run %(id)s).") % {"title": title, "id": bulk_id}
        if obj is not None:
            self.log_change(request, cast("M", obj), message)
            return
        from django.contrib.admin.models import CHANGE, LogEntry

        LogEntry.objects.create(
            user_id=request.user.pk,
            content_type=content_type_of(self.model),
            object_repr=rows_of(self.model, total)[:200],
            action_flag=CHANGE,
            change_message=message,
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Render the object's page, with a panel of its method tasks."""
        response = super().render_change_form(request, context, *args, **kwargs)
        obj = context.get("original")
        if obj is not None and not context.get("is_popup"):
            panel.add_panel(self, request, response, obj)
        return response

    def model_task_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        """Ask for the arguments of a method task on an object, and send it on ``POST``."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return redirect_from_missing(self, request, object_id)
        if not may_view(self, request, obj):
            raise PermissionDenied
        if name not in {each.name for each in method_actions(self)}:
            raise Http404(_("There is no task “%(name)s”.") % {"name": name})
        action = self.get_model_task_actions(request, obj).get(name)
        if action is None:
            raise PermissionDenied
        return pages.run_on_object(self, request, action, obj)

    def model_task_run_view(self, request: HttpRequest, bulk_id: UUID) -> HttpResponseBase:
        """Show the progress of a run."""
        if not may_view(self, request):
            raise PermissionDenied
        return progress.show_run(self, request, bulk_id)

    def model_task_progress_view(self, request: HttpRequest, bulk_id: UUID) -> JsonResponse:
        """Return the progress of a run as JSON, for the page's script."""
        if not may_view(self, request):
            raise PermissionDenied
        return progress.progress_response(self, request, bulk_id)


def _run_on_selected(
    action: MethodAction,
    model_admin: ModelTaskAdmin[Any],
    request: HttpRequest,
    queryset: models.QuerySet[Any],
) -> TemplateResponse | HttpResponseBase | None:
    return pages.run_on_selected(model_admin, request, action, queryset)
