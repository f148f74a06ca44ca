"""A form from a method's signature: a field for each argument, by its annotation."""

from __future__ import annotations

import datetime
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from django import forms
from django.contrib.admin import widgets
from django.db import models
from django.forms.utils import pretty_name

from ..calls import THIS

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest

_EMPTY: Final = inspect.Parameter.empty
_BLANK: Final = ("", "---------")
_STARS: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

#: The fields of types that have one of their own, as the admin shows them.
_FIELDS: Final[dict[Any, Callable[..., forms.Field]]] = {
    str: partial(forms.CharField, widget=widgets.AdminTextInputWidget),
    int: partial(forms.IntegerField, widget=widgets.AdminIntegerFieldWidget),
    float: forms.FloatField,
    decimal.Decimal: forms.DecimalField,
    datetime.date: partial(forms.DateField, widget=widgets.AdminDateWidget),
    datetime.time: partial(forms.TimeField, widget=widgets.AdminTimeWidget),
    datetime.datetime: partial(forms.SplitDateTimeField, widget=widgets.AdminSplitDateTime),
    datetime.timedelta: forms.DurationField,
    uuid.UUID: partial(forms.UUIDField, widget=widgets.AdminUUIDInputWidget),
}


class NoFormField(Exception):
    """An argument that a form cannot ask for; the text says which, and why."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a method: its type, and its default if it has one."""

    name: str
    annotation: Any
    default: Any
    is_positional_only: bool

    @property
    def is_required(self) -> bool:
        """Whether the method cannot be called without it."""
        return self.default is _EMPTY

    def form_field(
        self, model_admin: ModelAdmin[Any], request: HttpRequest | None = None
    ) -> forms.Field:
        """Return the field that asks for it. Raises ``NoFormField``."""
        if isinstance(self.annotation, NameError):
            raise NoFormField(f"its annotation cannot be read: {self.annotation}")
        if self.annotation is _EMPTY and self.default in (_EMPTY, None):
            raise NoFormField("it has no annotation")
        kind = type(self.default) if self.annotation is _EMPTY else self.annotation
        kind, is_optional = _without_none(kind)
        is_optional = is_optional or self.default is None
        options: dict[str, Any] = {
            "label": pretty_name(self.name),
            "required": not is_optional and self.default != "",
        }
        if not self.is_required:
            options["initial"] = self.default
        return _field(kind, options, is_optional, model_admin, request)


def arguments_of(
    function: Any, signature: inspect.Signature, owner: type, *, bind: bool
) -> list[Argument]:
    """Return the arguments of a method's task, their annotations as types.

    An annotation that cannot be resolved is the ``NameError`` of that.
    """
    parameters = list(signature.parameters.values())[1 if bind else 0 :]
    return [
        Argument(
            each.name,
            _resolved(each.annotation, function, owner),
            each.default,
            each.kind is inspect.Parameter.POSITIONAL_ONLY,
        )
        for each in parameters
        if each.kind not in _STARS and each.name != THIS
    ]


def form_class(
    name: str,
    arguments: Iterable[Argument],
    model_admin: ModelAdmin[Any],
    request: HttpRequest | None,
) -> type[forms.Form]:
    """Return a form that asks for arguments. Raises ``NoFormField``."""
    fields = {each.name: each.form_field(model_admin, request) for each in arguments}
    metaclass: Any = type(forms.Form)
    found: type[forms.Form] = metaclass(f"{name}_form", (forms.Form,), fields)
    return found


def _resolved(annotation: Any, function: Any, owner: type) -> Any:
    """Return the type that an annotation means where it stands."""
    if annotation is _EMPTY:
        return annotation
    module = getattr(inspect.unwrap(function), "__globals__", {})
    body: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        body.update(vars(base))
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    error = None
    # The body of the class second: there a name may be a field's, and not the type that is meant.
    for names in (module, {**body, **module}):
        try:
            return typing.get_type_hints(holder, globalns=names)["it"]
        except NameError as unknown:
            error = unknown
        except (TypeError, AttributeError, SyntaxError) as wrong:
            error = NameError(str(wrong))
    return error


def _without_none(kind: Any) -> tuple[Any, bool]:
    """Return X and True for ``Optional[X]``, else what it is and False."""
    while hasattr(kind, "__supertype__"):  # typing.NewType
        kind = kind.__supertype__
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind, False
    others = [each for each in typing.get_args(kind) if each is not type(None)]
    if len(others) != 1 or len(others) == len(typing.get_args(kind)):
        return kind, False
    return _without_none(others[0])[0], True


def _field(
    kind: Any,
    options: dict[str, Any],
    is_optional: bool,
    model_admin: ModelAdmin[Any],
    request: HttpRequest | None,
) -> forms.Field:
    if kind is bool:
        if is_optional:
            return forms.NullBooleanField(**options)
        return forms.BooleanField(**{**options, "required": False})
    if kind is str and is_optional and options.get("initial") != "":
        options["empty_value"] = None
    if kind in _FIELDS:
        return _FIELDS[kind](**options)
    if typing.get_origin(kind) is Literal:
        values = [value for value in typing.get_args(kind) if value is not None]
        if len(values) < len(typing.get_args(kind)):
            is_optional, options["required"] = True, False
        return _choice([(value, str(value)) for value in values], str, options)
    # On Python 3.10 list[str] is a type too.
    is_class = isinstance(kind, type) and typing.get_origin(kind) is None
    if is_class and issubclass(kind, enum.Enum):
        members = [(each, str(getattr(each, "label", pretty_name(each.name)))) for each in kind]
        return _choice(members, lambda member: str(member.value), options)
    if is_class and issubclass(kind, models.Model):
        return forms.ModelChoiceField(_rows(kind, model_admin, request), **options)
    raise NoFormField(f"there is no form field for {_shown(kind)}")


def _choice(
    values: list[tuple[Any, str]], key_of: Callable[[Any], str], options: dict[str, Any]
) -> forms.Field:
    by_key = {key_of(value): value for value, _ in values}
    if len(by_key) < len(values) or "" in by_key:
        raise NoFormField("its values are empty or alike as text")
    if options.get("initial") in by_key.values():
        options["initial"] = key_of(options["initial"])
    choices = [(key_of(value), text) for value, text in values]
    if not options["required"] or "initial" not in options:
        choices.insert(0, _BLANK)
    return forms.TypedChoiceField(
        choices=choices, coerce=by_key.__getitem__, empty_value=None, **options
    )


def _rows(
    model: type[models.Model], model_admin: ModelAdmin[Any], request: HttpRequest | None
) -> models.QuerySet[Any]:
    """Return the rows that may be chosen: those that the model's own admin shows, if it has one."""
    admins = model_admin.admin_site._registry
    if request is not None and model in admins:
        return admins[model].get_queryset(request)
    return model._default_manager.all()


def _shown(kind: Any) -> str:
    is_class = isinstance(kind, type) and typing.get_origin(kind) is None
    return kind.__qualname__ if is_class else str(kind).replace("typing.", "")
