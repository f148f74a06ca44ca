"""The form field that asks for a value of a type."""

from __future__ import annotations

import datetime
import decimal
import enum
import typing
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from django import forms
from django.db import models

from ..django_api.admin import pretty_name, widgets

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest

_BLANK: Final = ("", "---------")

#: The fields of simple types, with the admin's widgets.
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
    """No form field can ask for an argument; the message is the reason."""


def form_field(
    kind: Any,
    options: dict[str, Any],
    is_optional: bool,
    model_admin: ModelAdmin[Any],
    request: HttpRequest | None,
) -> forms.Field:
    """Return a field for a type, with the options of Django's fields. Raises ``NoFormField``."""
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
            options["required"] = False
        return _choice([(value, str(value)) for value in values], str, options)
    is_class = isinstance(kind, type)
    if is_class and issubclass(kind, enum.Enum):
        members = [(each, str(getattr(each, "label", pretty_name(each.name)))) for each in kind]
        return _choice(members, lambda member: str(member.value), options)
    if is_class and issubclass(kind, models.Model):
        return forms.ModelChoiceField(_rows(kind, model_admin, request), **options)
    name = kind.__qualname__ if is_class else str(kind).replace("typing.", "")
    raise NoFormField(f"{name} has no form field")


def _choice(
    values: list[tuple[Any, str]], key_of: Callable[[Any], str], options: dict[str, Any]
) -> forms.Field:
    by_key = {key_of(value): value for value, _ in values}
    if len(by_key) < len(values) or "" in by_key:
        raise NoFormField("some of its values are empty or equal as text")
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
    """Return the rows to choose from: those that the model's own admin shows, if it has one."""
    site = model_admin.admin_site
    if request is not None and site.is_registered(model):
        return site.get_model_admin(model).get_queryset(request)
    return model._default_manager.all()
