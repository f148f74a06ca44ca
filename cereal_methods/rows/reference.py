"""References, which travel in place of model instances and querysets.

A reference names a row by model label, primary key and database alias. It is small, frozen and
knows nothing of Celery. Its ``repr`` runs no query and shows no field value, so logs and
message headers stay short and contain no personal data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from django.db import models, router

from ..django_api.models import gives_instances, was_evaluated
from ..exceptions import UnsavedInstance, UnsupportedKey, UnsupportedValue
from .key_text import key_text
from .keys import clean_key, key_to_wire
from .labels import model_of
from .lazy import LazyRow, LazyRows, is_lazy, lazy_reference
from .routing import queryset_write_database

#: The most keys that a queryset argument may carry.
MAX_QUERYSET_ROWS: Final = 10_000

#: The keyword under which ``self`` travels.
THIS: Final = "this"

#: The one key of a reference's plain form, which is a dict that every serializer carries.
PLAIN_KEY: Final = "cereal_methods.reference"


def _refuse_json(reference: Any) -> Any:
    """Raise ``UnsupportedValue``. kombu's json calls this where it meets a reference."""
    raise UnsupportedValue(
        f"Celery's json serializer cannot carry {reference!r}: of a method's instances it carries "
        "only self. Send the task with serializer='cereal-json'.",
        type(reference),
    )


@dataclass(frozen=True, slots=True, repr=False)
class ModelReference:
    """One row: ``<shop.Order 5>``.

    ``label`` is the model's label as Django writes it (``shop.Order``). ``pk`` is the primary
    key in the type of the model's field: an ``int``, ``str``, ``UUID``, ``date``, ``datetime``,
    ``time`` or ``Decimal``, or a tuple of these for a composite key. ``using`` is the alias of
    the database.
    """

    label: str
    pk: Any
    using: str

    @classmethod
    def of(cls, instance: models.Model) -> Self:
        """Return the reference of a saved instance. Runs no query.

        The database is the one that Django's routers choose for writes to the instance, so that
        a row read from a replica is fetched from its primary.

        Raises ``UnsavedInstance`` if the instance has no row, ``UnsupportedKey`` if references
        cannot carry its primary key.
        """
        if is_lazy(instance):  # it came in a message
            reference: Self = lazy_reference(instance)
            return reference
        # __class__ and not type(): request.user is a lazy proxy of the instance.
        model = instance.__class__
        pk = instance.pk
        if instance._state.adding or pk is None or (type(pk) is tuple and None in pk):
            label = model._meta.label
            raise UnsavedInstance(
                f"This {label} has no row in the database: it was never saved, or it was "
                "deleted. Only saved instances can be passed to a task; save it first.",
                label,
            )
        return cls(
            model._meta.label,
            clean_key(model._meta.pk, pk),
            router.db_for_write(model, instance=instance),
        )

    @property
    def model(self) -> type[models.Model]:
        """The model class. Raises ``UnknownModel`` if this process has no such model."""
        return model_of(self.label)

    @property
    def keys(self) -> tuple[Any, ...]:
        """The primary keys to fetch."""
        return (self.pk,)

    def pick(self, rows: Mapping[Any, models.Model]) -> models.Model:
        """Return the row from rows by key. Raises ``KeyError`` if it is not among them."""
        return rows[self.pk]

    def as_wire(self) -> list[Any]:
        """Return the wire form: lists, dicts, strings and integers."""
        return [self.label, key_to_wire(self.pk), self.using]

    def as_plain(self) -> dict[str, list[Any]]:
        """Return the plain form, in which ``self`` travels under any serializer."""
        return {PLAIN_KEY: self.as_wire()}

    def each(self) -> list[ModelReference]:
        """Return the reference of each row: this one."""
        return [self]

    def lazy(self, fetch: Callable[[ModelReference], Any]) -> LazyRow:
        """Return a lazy row, which calls ``fetch`` when a field is read."""
        return LazyRow(self, fetch)

    __json__ = _refuse_json

    def __repr__(self) -> str:
        return f"<{key_text(self.label)} {key_text(self.pk)}>"


@dataclass(frozen=True, slots=True, repr=False)
class QuerySetReference:
    """Rows of one model, in an order: ``<shop.Order 3 rows>``.

    A queryset travels as the primary keys of its rows and arrives as a list of fresh instances
    in the same order, without the rows that were deleted in the meantime. ``label``, the keys
    in ``pks``, and ``using`` are those of ``ModelReference``.
    """

    label: str
    pks: tuple[Any, ...]
    using: str

    @classmethod
    def of(cls, queryset: models.QuerySet[Any]) -> Self:
        """Return the reference of a queryset's rows.

        Runs one query for the keys, unless the queryset was evaluated before. Raises
        ``UnsupportedKey`` for ``values()`` and ``values_list()`` querysets (pass
        ``list(queryset)``), ``UnsupportedValue`` for more than 10,000 rows.
        """
        model = queryset.model
        label = model._meta.label
        if not gives_instances(queryset):
            raise UnsupportedKey(
                f"A values() or values_list() queryset of {label} does not hold model instances. "
                "Pass list(queryset) to send its values as they are now.",
                label,
            )
        pk = model._meta.pk
        # One row too many shows that there are too many, without counting them.
        if was_evaluated(queryset):
            keys: Iterable[Any] = [row.pk for row in queryset]
        else:
            keys = queryset.values_list("pk", flat=True)[: MAX_QUERYSET_ROWS + 1]
        pks = tuple(clean_key(pk, key) for key in keys)
        if len(pks) > MAX_QUERYSET_ROWS:
            raise UnsupportedValue(
                f"A queryset of more than {MAX_QUERYSET_ROWS:,} rows of {label} is too large "
                "for one message. Send a method for each row with bulk_delay, or the task for "
                "slices of the queryset.",
                label,
            )
        return cls(label, pks, queryset_write_database(queryset, pks))

    @property
    def model(self) -> type[models.Model]:
        """The model class. Raises ``UnknownModel`` if this process has no such model."""
        return model_of(self.label)

    @property
    def keys(self) -> tuple[Any, ...]:
        """The primary keys to fetch."""
        return self.pks

    def pick(self, rows: Mapping[Any, models.Model]) -> list[models.Model]:
        """Return those of the rows, by key, that still exist."""
        return [rows[pk] for pk in self.pks if pk in rows]

    def as_wire(self) -> list[Any]:
        """Return the wire form: lists, dicts, strings and integers."""
        return [self.label, [key_to_wire(pk) for pk in self.pks], self.using, "rows"]

    def as_plain(self) -> dict[str, list[Any]]:
        """Return the plain form, in which the rows of a bulk travel under any serializer."""
        return {PLAIN_KEY: self.as_wire()}

    def each(self) -> list[ModelReference]:
        """Return the reference of each row."""
        return [ModelReference(self.label, pk, self.using) for pk in self.pks]

    def lazy(self, fetch: Callable[[ModelReference], Any]) -> LazyRows:
        """Return a list of lazy rows, each of which calls ``fetch`` when a field is read."""
        return LazyRows(self, fetch)

    __json__ = _refuse_json

    def __repr__(self) -> str:
        return f"<{key_text(self.label)} {len(self.pks)} rows>"


Reference: TypeAlias = ModelReference | QuerySetReference


def reference_of(value: Any) -> Reference | None:
    """Return the reference that travels in place of ``value``, or None if the value does.

    Runs no query, except for a queryset that was not evaluated. Raises what ``of`` raises.
    """
    if isinstance(value, models.Model):
        return ModelReference.of(value)
    if isinstance(value, (ModelReference, QuerySetReference)):
        return value
    if isinstance(value, models.QuerySet):
        return QuerySetReference.of(value)
    return lazy_reference(value) if is_lazy(value) else None


def single_row(reference: Reference) -> Reference:
    """Return the reference of the row if a bulk's message names only one."""
    if isinstance(reference, QuerySetReference) and len(reference.pks) == 1:
        return reference.each()[0]
    return reference
