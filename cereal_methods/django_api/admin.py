"""Django's admin, which cannot be imported before the apps are loaded; see the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin import options

# The widgets of the admin's own form fields, such as the calendar of a date.
from django.contrib.admin import widgets as widgets

# The names of fields in the admin's own forms.
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME as ACTION_CHECKBOX_NAME

# Puts a form into the fieldsets of the admin's templates.
from django.contrib.admin.helpers import AdminForm as AdminForm
from django.contrib.admin.options import IS_POPUP_VAR as IS_POPUP_VAR
from django.contrib.admin.options import get_content_type_for_model

# How the admin names rows in its texts, and keys in its URLs.
from django.contrib.admin.utils import model_format_dict as model_format_dict
from django.contrib.admin.utils import model_ngettext as model_ngettext
from django.contrib.admin.utils import quote as quote
from django.contrib.admin.utils import unquote as unquote

# How forms name a field that has no label.
from django.forms.utils import pretty_name as pretty_name

# The documented template filter calls this function.
from django.utils.timesince import timesince as timesince

if TYPE_CHECKING:
    from django.db import models
    from django.http import HttpRequest, HttpResponse

#: Since Django 6.1: the class of actions, and where an action is offered.
Action: Final[Any] = getattr(options, "Action", None)
ActionLocation: Final[Any] = getattr(options, "ActionLocation", None)


def redirect_from_missing(model_admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Return the admin's response for an object that does not exist."""
    # A message, and a redirect to the index. Else: raise Http404, which looks like a broken link.
    response: HttpResponse = model_admin._get_obj_does_not_exist_redirect(
        request, model_admin.opts, object_id
    )
    return response


def registered_admin(site: Any, model: type[models.Model]) -> Any:
    """Return the admin of a model on a site, or None."""
    # Sites have no documented method for it. Else: reverse(), without a check of permissions.
    return site.get_model_admin(model) if site.is_registered(model) else None


def action_names(model_admin: Any) -> list[str]:
    """Return the names of the actions of an admin and its site, without a check of permissions."""
    # The documented get_actions() needs a request. Before Django 6.1 actions are tuples.
    actions = model_admin._get_base_actions()
    return [action[1] if isinstance(action, tuple) else action.name for action in actions]


def made_action(function: Callable[..., Any], name: str, description: str) -> Any:
    """Return an action as ``get_actions`` gives it."""
    # A tuple is documented, but Django 6.1 has deprecated it in favor of a class.
    if Action is None:
        return function, name, description
    return Action(function, name, description, description, [ActionLocation.CHANGE_LIST])


def given_actions(
    get_actions: Callable[..., dict[str, Any]], request: HttpRequest, location: Any
) -> dict[str, Any]:
    """Call a parent class's ``get_actions``, for a location if there is one."""
    # Before Django 6.1 actions are only offered on the list, and there is no parameter.
    return get_actions(request) if location is None else get_actions(request, location)


def is_list(location: Any) -> bool:
    """Whether a location of actions is the list of rows."""
    return location is None or location is ActionLocation.CHANGE_LIST


def may_view(model_admin: Any, request: HttpRequest, obj: models.Model | None = None) -> bool:
    """Whether the user may see an object, or the list of them."""
    # Either of the documented has_view_permission and has_change_permission is enough.
    return bool(model_admin.has_view_or_change_permission(request, obj))


def content_type_of(model: type[models.Model]) -> Any:
    """Return the content type of a model in the admin's log."""
    # As ContentType.objects.get_for_model, except that proxies have their own.
    return get_content_type_for_model(model)
