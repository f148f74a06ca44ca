"""A method task as the admin offers it: which one, to whom, and what it asks first."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.contrib.admin.utils import model_format_dict
from django.utils.text import capfirst

from ..methods import ModelTask
from ..tasks import signature_of
from .arguments import Argument, arguments_of, form_class

if TYPE_CHECKING:
    from django import forms
    from django.contrib.admin import ModelAdmin
    from django.db import models
    from django.http import HttpRequest
    from django.utils.functional import _StrPromise

#: A ``ModelTaskAdmin``, for the modules that it imports.
TaskAdmin: TypeAlias = Any

#: Rows in a message, where nothing else is said: a percent of them, and no more than this.
_LARGEST_BATCH: Final = 500
_MESSAGES: Final = 100


@dataclass(frozen=True)
class ModelTaskAction:
    """A method that the admin offers, with what ``admin.action`` takes and more.

    ``method``       the name of a method of the model with ``@model_task``.
    ``description``  what the action and its button are called; by default the method's name.
                     As in Django it may hold ``%(verbose_name)s`` and
                     ``%(verbose_name_plural)s``.
    ``permissions``  who may: those for whom one of the admin's ``has_<name>_permission``
                     methods says so. With none of them, whoever sees the list.
    ``confirm``      whether to ask before it is sent: ``True``, or the question.
    ``fields``       which arguments to ask for; all by default. The others keep their defaults.
    ``form``         a form that asks for them, instead of one from the method's signature:
                     its cleaned data are the arguments.
    ``batch_size``   how many rows a message has. By default a hundredth of them, so that
                     progress shows, and 500 at most.
    """

    method: str
    _: KW_ONLY
    description: str | _StrPromise | None = None
    permissions: Sequence[str] = ("change",)
    confirm: bool | str | _StrPromise = False
    fields: Sequence[str] | None = None
    form: type[forms.Form] | None = None
    batch_size: int | None = None


class MethodAction:
    """A ``ModelTaskAction`` together with the method that it names."""

    def __init__(self, model_admin: ModelAdmin[Any], action: ModelTaskAction) -> None:
        self.model_admin = model_admin
        self.model: type[models.Model] = model_admin.model
        self.name = action.method
        self.action = action
        self.method = method_of(self.model, action.method)

    @property
    def task(self) -> Any:
        """The Celery task."""
        return getattr(self.model, self.name).task

    @property
    def description(self) -> str:
        """What it is called, as Django's actions are before their placeholders are filled."""
        if self.action.description is None:
            return str(capfirst(self.name.replace("_", " ")))
        return str(self.action.description)

    @property
    def title(self) -> str:
        """What it is called."""
        names: Any = model_format_dict(self.model._meta)
        title: str = self.description % names
        return title

    @property
    def question(self) -> str:
        """What is to be confirmed, if it is more than the action itself."""
        return "" if isinstance(self.action.confirm, bool) else str(self.action.confirm)

    @property
    def arguments(self) -> list[Argument]:
        """The method's arguments that are asked for, in its order or that of ``fields``."""
        found = {each.name: each for each in self.all_arguments}
        wanted = found if self.action.fields is None else self.action.fields
        return [found[name] for name in wanted]

    @property
    def all_arguments(self) -> list[Argument]:
        """The method's arguments: without ``self``, the task of ``bind``, and star arguments."""
        bind = self.method._self_options["bind"]
        function = self.method.__wrapped__
        signature = signature_of(function, takes_row=True, bind=bind)
        return arguments_of(function, signature, self.model, bind=bind)

    @property
    def takes_any(self) -> bool:
        """Whether the method takes named arguments that it does not name."""
        return "**" in str(inspect.signature(self.method.__wrapped__))

    @property
    def asks(self) -> bool:
        """Whether there is a page before it is sent."""
        form = self.action.form is not None or bool(self.arguments)
        return form or bool(self.action.confirm)

    def form_class(self, request: HttpRequest | None) -> type[forms.Form]:
        """Return the form that asks for the arguments. Raises ``NoFormField``."""
        if self.action.form is not None:
            return self.action.form
        return form_class(self.name, self.arguments, self.model_admin, request)

    def call(self, cleaned: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the method's arguments from a form's cleaned data."""
        named = dict(cleaned)
        positional = [
            named.pop(each.name, each.default)
            for each in self.all_arguments
            if each.is_positional_only
        ]
        return positional, named

    def batch_size(self, total: int) -> int:
        """Return how many rows a message has, if there are ``total`` of them."""
        return self.action.batch_size or max(1, min(_LARGEST_BATCH, -(-total // _MESSAGES)))

    def is_allowed(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Tell whether the request's user may run it: at all, or on an object."""
        hooks = (
            getattr(self.model_admin, f"has_{name}_permission", None)
            for name in self.action.permissions
        )
        return not self.action.permissions or any(
            bool(hook(request, *_object_for(hook, obj))) for hook in hooks if hook is not None
        )


def _object_for(hook: Any, obj: Any) -> tuple[Any, ...]:
    """Return the object for a hook that takes one: those for actions take the request alone."""
    if obj is None:
        return ()
    try:
        inspect.signature(hook).bind(None, obj)
    except TypeError:
        return ()
    return (obj,)


def method_of(model: type[models.Model], name: Any) -> Any:
    """Return the method task of a model's rows, or None if the name is that of none."""
    found = inspect.getattr_static(model, name, None) if isinstance(name, str) else None
    return found if isinstance(found, ModelTask) and found.takes_row() else None


def methods_of(model: type[models.Model]) -> list[str]:
    """Return the names of a model's method tasks that run on rows."""
    return [name for name in dir(model) if method_of(model, name) is not None]


def method_actions(model_admin: TaskAdmin) -> list[MethodAction]:
    """Return the method tasks that an admin offers, whoever may run them."""
    return [
        MethodAction(model_admin, action)
        for action in as_actions(model_admin.model_task_actions)
        if method_of(model_admin.model, action.method) is not None
    ]


def as_actions(given: Iterable[Any]) -> list[ModelTaskAction]:
    """Return what ``model_task_actions`` lists, names as actions."""
    return [ModelTaskAction(each) if isinstance(each, str) else each for each in given]
