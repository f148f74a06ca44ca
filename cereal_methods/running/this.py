"""The keyword ``this``, by which a message names the row that its method runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import CerealError, InvalidModelTask, UnsupportedKey
from ..rows.fetch import fetch
from ..rows.key_text import describe_type, key_text
from ..rows.lazy import LazyRow, is_lazy
from ..rows.reference import THIS, ModelReference, QuerySetReference, Reference
from ..rows.wire import as_reference, reference_from_plain

if TYPE_CHECKING:
    from django.db import models

    from .target import Target


def pop_this(target: Target, kwargs: dict[str, Any]) -> Any:
    """Take ``this`` out of a method's keyword arguments, and return it.

    Raises ``InvalidModelTask`` if it is not there.
    """
    if THIS not in kwargs:
        raise InvalidModelTask(
            f"The task {target.name} was sent without the row that it runs on. To send it by name, "
            "pass the instance as the keyword this: send_task(name, args, {'this': instance}). "
            "Celery's map, starmap and chunks leave it out: use those of the method, as in "
            "instance.method.map(...).",
            target.name,
        )
    return kwargs.pop(THIS)


def reference_of_this(target: Target, this: Any) -> Reference:
    """Return the reference of a method's row, or of the rows of a batch.

    Raises ``InvalidModelTask`` if ``this`` does not name a row of the method's model.
    """
    model: Any = target.model
    try:
        reference = as_reference(model, this)
    except UnsupportedKey:
        # The sender chose the value: neither it nor Django's error may end up in a log.
        raise InvalidModelTask(
            f"The task {target.name} was sent with this={describe_type(this)}, which is "
            f"neither a primary key of {model._meta.label} nor a reference to a row of it.",
            target.name,
        ) from None
    if reference.label != model._meta.label and not issubclass(reference.model, model):
        raise _wrong_model(target, reference.label)
    return reference


def check_instance(target: Target, instance: models.Model) -> None:
    """Raise ``InvalidModelTask`` if a method cannot run on an instance."""
    model: Any = target.model
    if not isinstance(instance, model):
        raise _wrong_model(target, type(instance).__qualname__)


def _wrong_model(target: Target, name: str) -> InvalidModelTask:
    model: Any = target.model
    return InvalidModelTask(
        f"The task {target.name} was sent for {key_text(name)} and not for an instance of "
        f"{model._meta.label}. Send it as instance.method.delay().",
        target.name,
    )


def names_batch(kwargs: Any) -> bool:
    """Whether a message is a batch, each row of which is given a request of its own later."""
    this = kwargs.get(THIS) if isinstance(kwargs, Mapping) else None
    if type(this) is dict:
        this = reference_from_plain(this)
    return isinstance(this, QuerySetReference)


def make_this_lazy(kwargs: Any, model: type[models.Model] | None) -> None:
    """Put a lazy row in the place of a reference, key or plain form of the method's row.

    A value that cannot be read stays: the task fails for it where it starts.
    """
    this = kwargs.get(THIS) if isinstance(kwargs, dict) else None
    if this is None or is_lazy(this):
        return
    reference: Any = this
    if type(this) is not ModelReference:
        if model is None:
            return
        try:
            reference = as_reference(model, this)
        except CerealError:
            return
    if isinstance(reference, ModelReference):
        kwargs[THIS] = LazyRow(reference, fetch)
