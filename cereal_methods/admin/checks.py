"""System checks of ``model_task_actions``."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.core.checks import CheckMessage, Error

from .actions import MethodAction, ModelTaskAction, as_actions, method_of, methods_of
from .arguments import NoFormField

if TYPE_CHECKING:
    from .actions import TaskAdmin


def check_actions(model_admin: TaskAdmin) -> list[CheckMessage]:
    """Return what is wrong with the method tasks that an admin offers."""
    return list(_problems(model_admin))


def _problems(model_admin: TaskAdmin) -> Iterator[CheckMessage]:
    given = model_admin.model_task_actions
    if not isinstance(given, (list, tuple)):
        yield _error(model_admin, "E101", "model_task_actions must be a list or a tuple.", "")
        return
    if given and not apps.is_installed("cereal_methods"):
        yield _error(
            model_admin,
            "E102",
            "ModelTaskAdmin is used, and its templates are not found: cereal_methods is not in "
            "INSTALLED_APPS.",
            "Add 'cereal_methods' to INSTALLED_APPS.",
        )
    actions: list[ModelTaskAction] = []
    for index, action in enumerate(as_actions(given)):
        if not isinstance(action, ModelTaskAction):
            yield _error(
                model_admin,
                "E103",
                f"model_task_actions[{index}] is {action!r}.",
                "Name a method of the model, or give a ModelTaskAction.",
            )
        elif method_of(model_admin.model, action.method) is None:
            yield _no_method(model_admin, index, action.method)
        else:
            actions.append(action)
    yield from _names(model_admin, actions)
    for action in actions:
        yield from _options(model_admin, action)


def _no_method(model_admin: TaskAdmin, index: int, name: Any) -> CheckMessage:
    model, known = model_admin.model, methods_of(model_admin.model)
    near = difflib.get_close_matches(str(name), known, n=1)
    if near:
        hint = f"Did you mean {near[0]!r}?"
    elif known:
        hint = f"It has {', '.join(known)}."
    else:
        hint = "Put @model_task on a method of the model."
    wrong = f"model_task_actions[{index}] names {name!r}, which is no method task of the rows of "
    return _error(model_admin, "E103", f"{wrong}{model._meta.label}.", hint)


def _names(model_admin: TaskAdmin, actions: list[ModelTaskAction]) -> Iterator[CheckMessage]:
    names = Counter(action.method for action in actions)
    names.update(name for _, name, _ in model_admin._get_base_actions())
    for name in dict.fromkeys(action.method for action in actions):
        if names[name] > 1:
            yield _error(
                model_admin,
                "E104",
                f"Two actions are named {name!r}, in model_task_actions or in actions.",
                "Leave one of them out, or give the function in actions another name.",
            )


def _options(model_admin: TaskAdmin, action: ModelTaskAction) -> Iterator[CheckMessage]:
    name = action.method
    if isinstance(action.permissions, str):
        yield _error(
            model_admin,
            "E105",
            f"permissions of {name!r} is a text, {action.permissions!r}.",
            f"Write permissions=[{action.permissions!r}].",
        )
    elif not isinstance(action.permissions, Collection):
        yield _error(
            model_admin,
            "E105",
            f"permissions of {name!r} is {action.permissions!r}.",
            "It must be a list of names; an empty one lets everybody run it who sees the rows.",
        )
    else:
        for permission in action.permissions:
            if not hasattr(model_admin, f"has_{permission}_permission"):
                yield _error(
                    model_admin,
                    "E105",
                    f"{name!r} asks for the permission {permission!r}, and there is no method "
                    f"has_{permission}_permission().",
                    "Define it on the admin class: it is given the request, and on an object's "
                    "page the object if it takes one.",
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
            f"description of {name!r} is {str(action.description)!r}, which has a placeholder "
            "that is not known.",
            "Known are %(verbose_name)s and %(verbose_name_plural)s; a percent sign is %%.",
        )
    yield from _arguments(model_admin, bound)


def _arguments(model_admin: TaskAdmin, bound: MethodAction) -> Iterator[CheckMessage]:
    action, name, known = bound.action, bound.name, bound.all_arguments
    if action.form is not None and action.fields is not None:
        yield _error(
            model_admin,
            "E108",
            f"{name!r} has both form and fields.",
            "Leave fields out: the form says what is asked for.",
        )
        return
    if action.form is not None:
        if not (isinstance(action.form, type) and issubclass(action.form, forms.BaseForm)):
            yield _error(
                model_admin,
                "E108",
                f"form of {name!r} is {action.form!r}.",
                "It must be a class of forms.",
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
                    f"There is no form field for the argument {argument.name!r} of {name!r}: "
                    f"{error}.",
                    "Annotate it with str, int, float, bool, Decimal, date, datetime, time, "
                    "timedelta, UUID, a Literal, an Enum or a model, or Optional of one; or give "
                    "the action a form, or fields without it if it has a default.",
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
                f"{source} of {bound.name!r} has {each!r}, which is no argument of it.",
                f"Its arguments are {', '.join(known)}." if known else "It has no arguments.",
            )
    for argument in known.values():
        if argument.is_required and argument.name not in asked:
            yield _error(
                model_admin,
                "E108",
                f"{source} of {bound.name!r} lacks {argument.name!r}, without which it cannot be "
                "called.",
                f"Add it to {source}.",
            )


def _error(model_admin: TaskAdmin, number: str, text: str, hint: str) -> CheckMessage:
    return Error(text, hint=hint or None, obj=type(model_admin), id=f"cereal_methods.{number}")
