"""The arguments of a method, with their types, and the form that asks for them."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django import forms

from ..django_api.admin import pretty_name
from ..rows.reference import THIS
from .fields import NoFormField, form_field

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest

_EMPTY: Final = inspect.Parameter.empty
_STARS: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
            raise NoFormField(f"its annotation cannot be resolved: {self.annotation}")
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
        return form_field(kind, options, is_optional, model_admin, request)


def arguments_of(
    function: Any, signature: inspect.Signature, owner: type, *, bind: bool
) -> list[Argument]:
    """Return the arguments of a method's task, with their annotations as types.

    An annotation that cannot be resolved is replaced by the ``NameError``.
    """
    parameters = list(signature.parameters.values())[1 if bind else 0 :]
    return [
        Argument(
            parameter.name,
            _resolved(parameter.annotation, function, owner),
            parameter.default,
            parameter.kind is inspect.Parameter.POSITIONAL_ONLY,
        )
        for parameter in parameters
        if parameter.kind not in _STARS and parameter.name != THIS
    ]


def form_class(
    name: str,
    arguments: Iterable[Argument],
    model_admin: ModelAdmin[Any],
    request: HttpRequest | None,
) -> type[forms.Form]:
    """Return a form that asks for arguments. Raises ``NoFormField``."""
    fields = {argument.name: argument.form_field(model_admin, request) for argument in arguments}
    metaclass: Any = type(forms.Form)
    form: type[forms.Form] = metaclass(f"{name}_form", (forms.Form,), fields)
    return form


def _resolved(annotation: Any, function: Any, owner: type) -> Any:
    """Return the type that an annotation names in its module or class."""
    if annotation is _EMPTY:
        return annotation
    module = getattr(inspect.unwrap(function), "__globals__", {})
    body: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        body.update(vars(base))
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    error = None
    # The module comes first: in the class's body the name may be that of a field.
    for names in (module, {**body, **module}):
        try:
            return typing.get_type_hints(holder, globalns=names)["it"]
        except NameError as unknown:
            error = unknown
        except (TypeError, AttributeError, SyntaxError) as wrong:
            error = NameError(str(wrong))
    return error


def _without_none(kind: Any) -> tuple[Any, bool]:
    """Return X and True for ``Optional[X]``; for any other type the type and False."""
    while hasattr(kind, "__supertype__"):  # typing.NewType
        kind = kind.__supertype__
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind, False
    others = [part for part in typing.get_args(kind) if part is not type(None)]
    if len(others) != 1 or len(others) == len(typing.get_args(kind)):
        return kind, False
    return _without_none(others[0])[0], True
