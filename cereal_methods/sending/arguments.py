"""The arguments of a method's message: references in place of instances, ``self`` as ``this``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import models, router

from ..exceptions import InvalidModelTask
from ..rows.reference import THIS, ModelReference
from ..rows.values import to_references
from ..rows.wire import reference_from_plain
from ..running.target import policy_of
from .owner import owner_of

if TYPE_CHECKING:
    from .proxies import Proxy


def message_arguments(
    bound: Proxy, task: Any, args: Any, kwargs: Mapping[str, Any] | None
) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return the database that the row is written to, and the message's args and kwargs.

    Raises ``TypeError`` if the arguments are not a list and a dict, ``UnsavedInstance`` for an
    instance without a row, and ``InvalidModelTask`` if ``self`` is missing or the row's database
    cannot lock as the task asks.
    """
    if not (args is None or isinstance(args, list | tuple)):
        raise TypeError(
            f"The arguments of {bound.__qualname__} must be a list or a tuple, not a "
            f"{type(args).__qualname__}. Keyword arguments are the second argument, a dict."
        )
    if not (kwargs is None or isinstance(kwargs, Mapping)):
        raise TypeError(
            f"The keyword arguments of {bound.__qualname__} must be a dict, not a "
            f"{type(kwargs).__qualname__}."
        )
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    instance = bound._self_instance
    if not bound._self_parent.takes_row(instance):
        using = router.db_for_write(owner_of(bound)[0])
        return using, to_references(args), to_references(kwargs)
    this = kwargs.pop(THIS, None)
    if instance is None and this is None and args:
        this, *args = args
    if instance is not None and this is None:
        reference = ModelReference.of(instance)
    else:
        reference = _reference_to(owner_of(bound)[0], bound.__qualname__, this)
        if instance is not None and reference != ModelReference.of(instance):
            raise InvalidModelTask(
                f"{bound.__qualname__} got this={reference!r} on another instance. Leave it out "
                "on an instance.",
                bound.__qualname__,
            )
    policy_of(task).check_dispatch(reference, task.name)
    kwargs = {**to_references(kwargs), THIS: reference.as_plain()}
    return reference.using, to_references(tuple(args)), kwargs


def _reference_to(model: type[models.Model], method: str, this: Any) -> ModelReference:
    """Return the reference to a row of ``model`` that was passed as ``self``, in any form."""
    reference = this if isinstance(this, ModelReference) else reference_from_plain(this)
    if isinstance(this, models.Model):
        reference = ModelReference.of(this)
    if not isinstance(reference, ModelReference) or not issubclass(reference.model, model):
        is_other_row = isinstance(reference, ModelReference)
        got = "nothing" if this is None else reference if is_other_row else type(this).__qualname__
        raise InvalidModelTask(
            f"On the class, {method} takes an instance of {model._meta.label} first, and got "
            f"{got}. Send it as instance.{method.rpartition('.')[2]}.delay(), or as "
            f"{method}.delay(instance).",
            method,
        )
    return reference
