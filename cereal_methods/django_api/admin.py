"""Django's admin, which cannot be imported before the apps are loaded; see the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin import options

# The widgets of the admin's own form fields, by which a date has a calendar.
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

# The filter of templates is documented, which is this function.
from django.utils.timesince import timesince as timesince

if TYPE_CHECKING:
    from django.db import models
    from django.http import HttpRequest, HttpResponse

#: From Django 6.1 on: what an action is, and where it is offered.
Action: Final[Any] = getattr(options, "Action", None)
ActionLocation: Final[Any] = getattr(options, "ActionLocation", None)


def redirect_from_missing(model_admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Return what the admin answers for the page of an object that does not exist."""
    # A message, and a redirect to the index. Else: raise Http404, which looks like a broken link.
    found: HttpResponse = model_admin._get_obj_does_not_exist_redirect(
        request, model_admin.opts, object_id
    )
    return found


def registered_admin(site: Any, model: type[models.Model]) -> Any:
    """Return the admin of a model on a site; None where it has none."""
    # No method of a site that tells it is documented. Else: reverse(), and no permission checked.
    return site.get_model_admin(model) if site.is_registered(model) else None


def action_names(model_admin: Any) -> list[str]:
    """Return the names of an admin's own actions and its site's, whoever may run them."""
    # get_actions(), which is documented, needs a request. Before Django 6.1 they are tuples.
    found = model_admin._get_base_actions()
    return [each[1] if isinstance(each, tuple) else each.name for each in found]


def made_action(function: Callable[..., Any], name: str, description: str) -> Any:
    """Return an action as ``get_actions`` gives it."""
    # Documented is a tuple, which Django 6.1 has deprecated for a class.
    if Action is None:
        return function, name, description
    return Action(function, name, description, description, [ActionLocation.CHANGE_LIST])


def given_actions(
    get_actions: Callable[..., dict[str, Any]], request: HttpRequest, location: Any
) -> dict[str, Any]:
    """Return what a parent class's ``get_actions`` gives for a place, if one was asked for."""
    # Before Django 6.1 there is no other place than the list, and no parameter.
    return get_actions(request) if location is None else get_actions(request, location)


def is_list(location: Any) -> bool:
    """Whether actions are asked for to be offered on the list of rows."""
    return location is None or location is ActionLocation.CHANGE_LIST


def may_view(model_admin: Any, request: HttpRequest, obj: models.Model | None = None) -> bool:
    """Whether the user may see an object, or the list of them."""
    # Either of the documented has_view_permission and has_change_permission will do.
    return bool(model_admin.has_view_or_change_permission(request, obj))


def content_type_of(model: type[models.Model]) -> Any:
    """Return the content type under which the admin's log has a model."""
    # ContentType.objects.get_for_model, but for proxies, which have one of their own here.
    return get_content_type_for_model(model)
