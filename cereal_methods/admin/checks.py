"""System checks of ``model_task_actions``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.core.checks import CheckMessage, Error

from ..django_api.admin import action_names
from ..sending.discovery import descriptor_of
from ..suggestions import did_you_mean
from .actions import MethodAction, ModelTaskAction, as_actions, methods_of
from .fields import NoFormField

if TYPE_CHECKING:
    from .actions import TaskAdmin


def check_actions(model_admin: TaskAdmin) -> list[CheckMessage]:
    """Return the mistakes in the ``model_task_actions`` of an admin."""
    return list(_problems(model_admin))


def _problems(model_admin: TaskAdmin) -> Iterator[CheckMessage]:
    entries = model_admin.model_task_actions
    if not isinstance(entries, (list, tuple)):
        yield _error(model_admin, "E101", "model_task_actions must be a list or a tuple.", "")
        return
    if entries and not apps.is_installed("cereal_methods"):
        yield _error(
            model_admin,
            "E102",
            "The templates of ModelTaskAdmin cannot be found: cereal_methods is not in "
            "INSTALLED_APPS.",
            "Add 'cereal_methods' to INSTALLED_APPS.",
        )
    actions: list[ModelTaskAction] = []
    for index, action in enumerate(as_actions(entries)):
        if not isinstance(action, ModelTaskAction):
            yield _error(
                model_admin,
                "E103",
                f"model_task_actions[{index}] is {action!r}.",
                "Use the name of a method of the model, or a ModelTaskAction.",
            )
        elif descriptor_of(model_admin.model, action.method) is None:
            yield _no_method(model_admin, index, action.method)
        else:
            actions.append(action)
    yield from _names(model_admin, actions)
    for action in actions:
        yield from _options(model_admin, action)


def _no_method(model_admin: TaskAdmin, index: int, name: Any) -> CheckMessage:
    model, known = model_admin.model, methods_of(model_admin.model)
    others = (
        f"Its method tasks are {', '.join(known)}."
        if known
        else "Decorate a method of the model with @model_task."
    )
    hint = did_you_mean(name, known, others)
    wrong = f"model_task_actions[{index}] is {name!r}, which is not a method task for rows of "
    return _error(model_admin, "E103", f"{wrong}{model._meta.label}.", hint)


def _names(model_admin: TaskAdmin, actions: list[ModelTaskAction]) -> Iterator[CheckMessage]:
    names = Counter(action.method for action in actions)
    names.update(action_names(model_admin))
    for name in dict.fromkeys(action.method for action in actions):
        if names[name] > 1:
            yield _error(
                model_admin,
                "E104",
                f"Two actions have the name {name!r}, in model_task_actions or in actions.",
                "Remove one of them, or rename the function in actions.",
            )


def _options(model_admin: TaskAdmin, action: ModelTaskAction) -> Iterator[CheckMessage]:
    name = action.method
    if isinstance(action.permissions, str):
        yield _error(
            model_admin,
            "E105",
            f"permissions of {name!r} is the string {action.permissions!r}.",
            f"Write permissions=[{action.permissions!r}].",
        )
    elif not isinstance(action.permissions, Collection):
        yield _error(
            model_admin,
            "E105",
            f"permissions of {name!r} is {action.permissions!r}.",
            "It must be a list of names. If it is empty, every user who sees the rows may run it.",
        )
    else:
        for permission in action.permissions:
            if not hasattr(model_admin, f"has_{permission}_permission"):
                yield _error(
                    model_admin,
                    "E105",
                    f"{name!r} requires the permission {permission!r}, but the admin does not "
                    f"have the method has_{permission}_permission().",
                    "Define it on the admin class. It takes the request and, if it should see "
                    "the object of an object's page, the object.",
                )
    size = action.batch_size
    if size is not None and (type(size) is not int or size < 1):
        yield _error(
            model_admin,
            "E106",
            f"batch_size of {name!r} is {size!r}.",
            "It must be a whole number of rows, at least 1.",
        )
    bound = MethodAction(model_admin, action)
    try:
        bound.title  # noqa: B018  (does it format?)
    except (KeyError, TypeError, ValueError):
        yield _error(
            model_admin,
            "E107",
            f"description of {name!r} is {str(action.description)!r}, which cannot be formatted.",
            "The placeholders are %(verbose_name)s and %(verbose_name_plural)s. Write %% for a "
            "percent sign.",
        )
    yield from _arguments(model_admin, bound)


def _arguments(model_admin: TaskAdmin, bound: MethodAction) -> Iterator[CheckMessage]:
    action, name, known = bound.action, bound.name, bound.all_arguments
    if action.form is not None and action.fields is not None:
        yield _error(
            model_admin,
            "E108",
            f"{name!r} has both form and fields.",
            "Remove fields: the form decides which arguments are asked for.",
        )
        return
    if action.form is not None:
        if not (isinstance(action.form, type) and issubclass(action.form, forms.BaseForm)):
            yield _error(
                model_admin,
                "E108",
                f"form of {name!r} is {action.form!r}.",
                "It must be a form class.",
            )
            return
        asked = list(action.form.base_fields)
    else:
        asked = [each.name for each in known] if action.fields is None else list(action.fields)
    yield from _fit(model_admin, bound, asked)
    if action.form is None:
        for argument in (each for each in known if each.name in asked):
            try:
                argument.form_field(model_admin)
            except NoFormField as error:
                yield _error(
                    model_admin,
                    "E109",
                    f"No form field can ask for the argument {argument.name!r} of {name!r}: "
                    f"{error}.",
                    "Annotate it with str, int, float, bool, Decimal, date, datetime, time, "
                    "timedelta, UUID, a Literal, an Enum, a model, or Optional of one of these. "
                    "Or give the action a form, or, if the argument has a default, fields without "
                    "it.",
                )


def _fit(model_admin: TaskAdmin, bound: MethodAction, asked: list[str]) -> Iterator[CheckMessage]:
    known = {each.name: each for each in bound.all_arguments}
    source = "form" if bound.action.form is not None else "fields"
    takes_any = bound.takes_any
    for each in asked:
        if each not in known and not (takes_any and source == "form"):
            yield _error(
                model_admin,
                "E108",
                f"{source} of {bound.name!r} has {each!r}, which is not one of its arguments.",
                f"Its arguments are {', '.join(known)}." if known else "It has no arguments.",
            )
    for argument in known.values():
        if argument.is_required and argument.name not in asked:
            yield _error(
                model_admin,
                "E108",
                f"{source} of {bound.name!r} lacks the required argument {argument.name!r}.",
                f"Add it to {source}.",
            )


def _error(model_admin: TaskAdmin, number: str, text: str, hint: str) -> CheckMessage:
    return Error(text, hint=hint or None, obj=type(model_admin), id=f"cereal_methods.{number}")
