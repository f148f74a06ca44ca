"""The method tasks that an admin offers, and who may run them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.utils.text import capfirst

from ..django_api.admin import model_format_dict
from ..sending.discovery import descriptor_of
from ..sending.headers import task_signature
from .arguments import Argument, arguments_of, form_class

if TYPE_CHECKING:
    from django import forms
    from django.contrib.admin import ModelAdmin
    from django.db import models
    from django.http import HttpRequest
    from django.utils.functional import _StrPromise

#: A ``ModelTaskAdmin``, for the modules that it imports.
TaskAdmin: TypeAlias = Any

#: By default the rows are sent in this many messages...
_MESSAGES: Final = 100
#: ... with at most this many rows in each.
_LARGEST_BATCH: Final = 500


@dataclass(frozen=True)
class ModelTaskAction:
    """A method that the admin offers, with the options of ``admin.action`` and some more.

    - ``method`` (str): the name of one of the model's methods with ``@model_task``.
    - ``description`` (str): the title of the action and its button. By default it is made from
      the method's name. ``%(verbose_name)s`` and ``%(verbose_name_plural)s`` are replaced.
    - ``permissions`` (list of str): a user may run the method if one of the admin's
      ``has_<name>_permission`` methods returns True. If the list is empty, every user who sees
      the rows may run it.
    - ``confirm`` (bool or str): whether to ask for a confirmation, or the question to ask.
    - ``fields`` (list of str): the arguments to ask for, in this order. By default all of them.
      The others keep their defaults.
    - ``form`` (form class): asks for the arguments, instead of a form that is made from the
      method's signature. Its cleaned data become the arguments.
    - ``batch_size`` (int): rows in a message. By default a hundredth of all rows, so that the
      progress is visible, and at most 500.

    Mistakes are reported by the system checks E101 to E109.
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
    """A ``ModelTaskAction`` and the method that it names."""

    def __init__(self, model_admin: ModelAdmin[Any], action: ModelTaskAction) -> None:
        self.model_admin = model_admin
        self.model: type[models.Model] = model_admin.model
        self.name = action.method
        self.action = action
        self.method: Any = descriptor_of(self.model, action.method)

    @property
    def task(self) -> Any:
        """The Celery task."""
        return getattr(self.model, self.name).task

    @property
    def is_durable(self) -> bool:
        """Whether each run has a record in the database."""
        return bool(self.task.target.is_durable)

    @property
    def description(self) -> str:
        """The title, with the placeholders that Django's actions have."""
        if self.action.description is None:
            return str(capfirst(self.name.replace("_", " ")))
        return str(self.action.description)

    @property
    def title(self) -> str:
        """The title of the action and its button."""
        names: Any = model_format_dict(self.model._meta)
        title: str = self.description % names
        return title

    @property
    def question(self) -> str:
        """The question of the confirmation; empty for the default one."""
        return "" if isinstance(self.action.confirm, bool) else str(self.action.confirm)

    @property
    def arguments(self) -> list[Argument]:
        """The arguments to ask for, in the order of the method or of ``fields``."""
        arguments = {argument.name: argument for argument in self.all_arguments}
        names = arguments if self.action.fields is None else self.action.fields
        return [arguments[name] for name in names]

    @property
    def all_arguments(self) -> list[Argument]:
        """All arguments of the method, except ``self``, the task of ``bind``, ``*`` and ``**``."""
        bind = self.method._self_options["bind"]
        function = self.method.__wrapped__
        signature = task_signature(function, takes_row=True)
        return arguments_of(function, signature, self.model, bind=bind)

    @property
    def takes_any(self) -> bool:
        """Whether the method has ``**kwargs``."""
        return "**" in str(inspect.signature(self.method.__wrapped__))

    @property
    def asks(self) -> bool:
        """Whether a page asks for arguments or a confirmation before the method is sent."""
        form = self.action.form is not None or bool(self.arguments)
        return form or bool(self.action.confirm)

    def form_class(self, request: HttpRequest | None) -> type[forms.Form]:
        """Return the form that asks for the arguments. Raises ``NoFormField``."""
        if self.action.form is not None:
            return self.action.form
        return form_class(self.name, self.arguments, self.model_admin, request)

    def call(self, cleaned: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the method's args and kwargs from a form's cleaned data."""
        kwargs = dict(cleaned)
        args = [
            kwargs.pop(argument.name, argument.default)
            for argument in self.all_arguments
            if argument.is_positional_only
        ]
        return args, kwargs

    def batch_size(self, total: int) -> int:
        """Return how many rows a message carries, if there are ``total`` rows."""
        if self.is_durable:  # each row has its own record
            return self.action.batch_size or 1
        return self.action.batch_size or max(1, min(_LARGEST_BATCH, -(-total // _MESSAGES)))

    def is_allowed(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Whether the request's user may run the method, in general or on an object."""
        hooks = (
            getattr(self.model_admin, f"has_{name}_permission", None)
            for name in self.action.permissions
        )
        return not self.action.permissions or any(
            bool(hook(request, *_object_for(hook, obj))) for hook in hooks if hook is not None
        )


def _object_for(hook: Any, obj: Any) -> tuple[Any, ...]:
    """Return the object as an argument, if the hook takes one; Django's need the request only."""
    if obj is None:
        return ()
    try:
        inspect.signature(hook).bind(None, obj)
    except TypeError:
        return ()
    return (obj,)


def methods_of(model: type[models.Model]) -> list[str]:
    """Return the names of a model's method tasks that run on rows."""
    return [name for name in dir(model) if descriptor_of(model, name) is not None]


def method_actions(model_admin: TaskAdmin) -> list[MethodAction]:
    """Return the method tasks that an admin offers, regardless of permissions."""
    return [
        MethodAction(model_admin, action)
        for action in as_actions(model_admin.model_task_actions)
        if descriptor_of(model_admin.model, action.method) is not None
    ]


def as_actions(entries: Iterable[Any]) -> list[ModelTaskAction]:
    """Return the entries of ``model_task_actions``, with names replaced by actions."""
    return [ModelTaskAction(entry) if isinstance(entry, str) else entry for entry in entries]
