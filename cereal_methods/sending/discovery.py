"""Discovery: Django prepares a model, and its method tasks are registered."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from django.db.models.signals import class_prepared

from ..django_api.models import is_installed, managers_of
from ..exceptions import InvalidModelTask
from .decorators import decorated, decorator_name
from .descriptor import ModelTask

if TYPE_CHECKING:
    from django.db import models


def connect() -> None:
    """Register the method tasks of each model that Django prepares from now on."""
    class_prepared.connect(_register_method_tasks, dispatch_uid=__name__)


def descriptor_of(model: type[models.Model], name: Any) -> ModelTask[Any, Any] | None:
    """Return the method task of a model's rows that an attribute is, or None."""
    attribute = inspect.getattr_static(model, name, None) if isinstance(name, str) else None
    return attribute if isinstance(attribute, ModelTask) and attribute.takes_row() else None


def _register_method_tasks(sender: type[models.Model], **kwargs: Any) -> None:
    # The signal comes once for each concrete model and proxy. Migrations make models as well,
    # which belong to other apps.
    if is_installed(sender):
        for descriptor in _descriptors(sender):
            descriptor.register(sender)
        for manager in managers_of(sender).values():
            for descriptor in _descriptors(type(manager)):
                descriptor.register(sender, manager)


def _descriptors(owner: type) -> Iterator[ModelTask[Any, Any]]:
    """Yield the method tasks that are attributes of a class, including inherited ones."""
    names: set[str] = set()
    yielded: set[int] = set()  # a method may have two names
    for base in owner.__mro__:
        for name, attribute in list(vars(base).items()):
            descriptor = _descriptor(base, name, attribute) if name not in names else None
            if descriptor is not None and id(descriptor) not in yielded:
                yielded.add(id(descriptor))
                yield descriptor
        names.update(vars(base))


def _descriptor(base: type, name: str, attribute: Any) -> ModelTask[Any, Any] | None:
    """Return the method task that an attribute is, or that a decorator above it hides.

    If the decorator uses ``functools.wraps``, what it returned becomes the method task. Raises
    ``InvalidModelTask`` for a decorator that returns something other than a function.
    """
    inner, hiding = attribute, None
    while inner is not None and not isinstance(inner, ModelTask):
        if type(inner) is FunctionType:
            inner = getattr(inner, "__wrapped__", None)
        else:
            hiding = hiding or inner
            inner = decorated(inner)
    if inner is None or inner is attribute:
        return inner
    if hiding is None:
        outer = type(inner)(attribute, inner._self_options)
        outer._self_attribute = name
        setattr(base, name, outer)
        return outer
    if any(other is inner for other in vars(base).values()):
        return None  # such as partialmethod(ship, "dhl"), next to ship itself
    decorator = decorator_name(hiding)
    remedy = (
        "Put @model_task first, and on a method."
        if isinstance(hiding, classmethod | staticmethod)
        else f"Put @model_task on a method of its own, without @{decorator}."
    )
    raise InvalidModelTask(
        f"@model_task cannot be used here: @{decorator} is above it on "
        f"{base.__qualname__}.{name}. {remedy}",
        name,
    )
