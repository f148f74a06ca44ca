"""``ModelTaskAdmin``: a ``ModelAdmin`` that offers method tasks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR, get_content_type_for_model
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from . import pages
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
        """Django's own, which is generic to type checkers alone."""


class ModelTaskAdmin(_ModelAdmin[M]):
    """A ``ModelAdmin``, or a mixin for one, that offers method tasks of its model.

    Each of ``model_task_actions`` is an action on the rows that are selected and a
    button on the page of an object. Where the method has arguments a form asks for
    them, and a page shows the progress of what was sent.

    The admin log gets an entry for each run; see ``log_model_task``.
    """

    #: Names of method tasks, or ``ModelTaskAction`` with options.
    model_task_actions: Sequence[str | ModelTaskAction] = ()

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Return what is wrong with the class."""
        return [*super().check(**kwargs), *check_actions(self)]

    def get_model_task_actions(
        self, request: HttpRequest, obj: M | None = None
    ) -> dict[str, MethodAction]:
        """Return the method tasks that the user may run, on rows of the list or on an object."""
        found = method_actions(self)
        return {each.name: each for each in found if each.is_allowed(request, obj)}

    def get_actions(self, request: HttpRequest) -> Any:
        """Return the actions of the list: Django's, and the method tasks."""
        found: dict[str, Any] = dict(super().get_actions(request))
        if self.actions is None or IS_POPUP_VAR in request.GET:
            return found
        for name, action in self.get_model_task_actions(request).items():
            found[name] = (partial(_run_on_selected, action), name, action.description)
        return found

    def get_urls(self) -> list[URLPattern]:
        """Return Django's URLs, and those of runs and of tasks on an object."""
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
        """Write the entry of a run into the admin log: on the object, or on the model."""
        message = _("Sent “%(title)s” (run %(id)s).") % {"title": title, "id": bulk_id}
        if obj is not None:
            self.log_change(request, cast("M", obj), message)
            return
        from django.contrib.admin.models import CHANGE, LogEntry

        LogEntry.objects.create(
            user_id=request.user.pk,
            content_type=get_content_type_for_model(self.model),
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
            pages.add_panel(self, request, response, obj)
        return response

    def model_task_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        """Ask for what a method task needs on an object, and send it (``POST``)."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            django_admin: Any = self
            gone: HttpResponse = django_admin._get_obj_does_not_exist_redirect(
                request, self.opts, object_id
            )
            return gone
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        if name not in {each.name for each in method_actions(self)}:
            raise Http404(_("There is no task “%(name)s”.") % {"name": name})
        action = self.get_model_task_actions(request, obj).get(name)
        if action is None:
            raise PermissionDenied
        return pages.run_on_object(self, request, action, obj)

    def model_task_run_view(self, request: HttpRequest, bulk_id: UUID) -> HttpResponseBase:
        """Show how far a run is."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return pages.show_run(self, request, bulk_id)

    def model_task_progress_view(self, request: HttpRequest, bulk_id: UUID) -> JsonResponse:
        """Tell how far a run is, for the page's script."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return pages.tell_progress(self, request, bulk_id)


def _run_on_selected(
    action: MethodAction,
    model_admin: ModelTaskAdmin[Any],
    request: HttpRequest,
    queryset: models.QuerySet[Any],
) -> TemplateResponse | HttpResponseBase | None:
    return pages.run_on_selected(model_admin, request, action, queryset)
