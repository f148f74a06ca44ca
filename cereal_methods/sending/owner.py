"""The model or manager that a bound method sends its task for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from ..django_api.models import manager_name
from ..exceptions import InvalidModelTask

if TYPE_CHECKING:
    from .proxies import Proxy


def owner_of(bound: Proxy) -> tuple[type[models.Model], str | None]:
    """Return the model that the task is registered for, and its manager's name or None.

    Raises ``InvalidModelTask`` if the method cannot be sent from where it was looked up.
    """
    instance = bound._self_instance
    if isinstance(instance, models.Manager):
        return _sendable_manager(instance, bound.__qualname__)
    model = bound._self_owner if instance is None else type(instance)
    if not (isinstance(model, type) and issubclass(model, models.Model)):
        wrong = (
            f": {model.__qualname__} is not a Django model. For functions and other classes there "
            "is cereal_methods.task."
        )
    elif model._meta.abstract:
        wrong = (
            f" from the abstract model {model.__qualname__}, which has no rows. Use it from a "
            "concrete model."
        )
    else:
        # In a method that overrides ship, super().ship.delay() sends the parent's task.
        for base in model.__mro__:
            if base in bound._self_parent._self_models:
                return base, None
        wrong = (
            f" for {model._meta.label}, which has no task for it: another method overrides it "
            "there, it was set on the class instead of with add_to_class(), or this is a "
            "historical model of a migration."
        )
    raise InvalidModelTask(f"{bound.__qualname__} cannot be sent{wrong}", bound.__qualname__)


def _sendable_manager(
    manager: models.Manager[Any], method: str
) -> tuple[type[models.Model], str | None]:
    """Return a manager's model and name, if a worker can look up an equal manager by them."""
    model, name = manager.model, manager_name(manager)
    if name is None:
        raise InvalidModelTask(
            f"{method} cannot be sent from this manager: a worker could not look it up. Send it "
            f"from the manager on the model itself, as in {model.__name__}.objects.",
            method,
        )
    return model, name
