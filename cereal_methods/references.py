"""References: what travels in the place of model instances and querysets.

A reference names a row by model label, primary key and database alias. It is
small, frozen and knows nothing of Celery; its ``repr`` runs no query and shows
no field value, so that logs and message headers stay quick and discreet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models, router
from django.db.models.query import ModelIterable

from . import conf
from .exceptions import (
    InvalidMessage,
    UnknownModel,
    UnsavedInstance,
    UnsupportedKey,
    UnsupportedValue,
)
from .keys import (
    check_spread,
    clean_key,
    excess,
    key_from_wire,
    key_to_wire,
    shown,
    takes_integers,
)
from .stand_ins import is_stand_in, named_by

#: The most keys that a queryset argument may carry.
MAX_QUERYSET_ROWS: Final = 10_000

#: The keyword under which ``self`` travels.
THIS: Final = "this"

#: The one key of a reference's plain form: a dict that every serializer carries.
PLAIN_KEY: Final = "cereal_methods.reference"


def _refuse_json(reference: Any) -> Any:
    """Raise ``UnsupportedValue``; kombu's json asks for this where it meets a reference."""
    raise UnsupportedValue(
        f"Celery's own json cannot carry {reference!r}: of a method's instances it carries self "
        "alone. Send the task with serializer='cereal-json'.",
        type(reference),
    )


@dataclass(frozen=True, slots=True, repr=False)
class ModelReference:
    """One row: ``<shop.Order 5>``.

    ``label`` is the model's label as Django writes it (``shop.Order``), ``pk``
    the primary key as the model's field has it in Python (an ``int``, ``str``,
    ``UUID``, ``date``, ``datetime``, ``time`` or ``Decimal``; a tuple of those
    for a composite key), ``using`` the alias of the database.
    """

    label: str
    pk: Any
    using: str

    @classmethod
    def of(cls, instance: models.Model) -> ModelReference:
        """Return the reference of a saved instance.

        The database is the one that writes to the instance go to, so that a row
        read from a replica is fetched from its primary.

        Raises ``UnsavedInstance`` if the instance has no row, ``UnsupportedKey``
        if its primary key has a type that references cannot carry.
        """
        if is_stand_in(instance):  # it came in a message
            reference: ModelReference = named_by(instance)
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
        return _model(self.label)

    @property
    def keys(self) -> tuple[Any, ...]:
        """The primary keys that are to be fetched."""
        return (self.pk,)

    def pick(self, rows: Mapping[Any, models.Model]) -> models.Model:
        """Return what takes the reference's place; ``KeyError`` if its row is not there."""
        return rows[self.pk]

    def as_wire(self) -> list[Any]:
        """Return the reference as lists, dicts, strings and integers."""
        return [self.label, key_to_wire(self.pk), self.using]

    def as_plain(self) -> dict[str, list[Any]]:
        """Return the form in which ``self`` travels under any serializer."""
        return {PLAIN_KEY: self.as_wire()}

    __json__ = _refuse_json

    def __repr__(self) -> str:
        return f"<{shown(self.label)} {shown(self.pk)}>"


@dataclass(frozen=True, slots=True, repr=False)
class QuerySetReference:
    """The rows of a queryset, in its order: ``<shop.Order 3 rows>``.

    It arrives as a list of fresh instances, without the rows deleted since.
    """

    label: str
    pks: tuple[Any, ...]
    using: str

    @classmethod
    def of(cls, queryset: models.QuerySet[Any]) -> QuerySetReference:
        """Return the reference of a queryset's rows, which takes one query for their keys.

        Raises ``UnsupportedKey`` for ``values()`` and ``values_list()`` querysets
        (pass ``list(queryset)``) and ``UnsupportedValue`` above ``MAX_QUERYSET_ROWS``.
        """
        model = queryset.model
        label = model._meta.label
        if not issubclass(cast("Any", queryset)._iterable_class, ModelIterable):
            raise UnsupportedKey(
                f"A values() or values_list() queryset of {label} holds no model instances. "
                "Pass list(queryset) to send its values as they are now.",
                label,
            )
        pk = model._meta.pk
        # One row too many tells that there are too many, without counting.
        if cast("Any", queryset)._result_cache is None:
            found: Iterable[Any] = queryset.values_list("pk", flat=True)[: MAX_QUERYSET_ROWS + 1]
        else:
            found = [row.pk for row in queryset]
        pks = tuple(clean_key(pk, key) for key in found)
        if len(pks) > MAX_QUERYSET_ROWS:
            raise UnsupportedValue(
                f"A queryset of more than {MAX_QUERYSET_ROWS:,} rows of {label} is too large "
                "for one message. Send a method for each row with bulk_delay, or the task for "
                "slices of the queryset.",
                label,
            )
        return cls(label, pks, _alias_for_writes(queryset, pks))

    @property
    def model(self) -> type[models.Model]:
        """The model class. Raises ``UnknownModel`` if this process has no such model."""
        return _model(self.label)

    @property
    def keys(self) -> tuple[Any, ...]:
        """The primary keys that are to be fetched."""
        return self.pks

    def pick(self, rows: Mapping[Any, models.Model]) -> list[models.Model]:
        """Return what takes the reference's place: the rows that are still there."""
        return [rows[pk] for pk in self.pks if pk in rows]

    def as_wire(self) -> list[Any]:
        """Return the reference as lists, dicts, strings and integers."""
        return [self.label, [key_to_wire(pk) for pk in self.pks], self.using, "rows"]

    def as_plain(self) -> dict[str, list[Any]]:
        """Return the form in which the rows of a bulk travel under any serializer."""
        return {PLAIN_KEY: self.as_wire()}

    def each(self) -> list[ModelReference]:
        """Return a reference of each row."""
        return [ModelReference(self.label, pk, self.using) for pk in self.pks]

    __json__ = _refuse_json

    def __repr__(self) -> str:
        return f"<{shown(self.label)} {len(self.pks)} rows>"


Reference: TypeAlias = ModelReference | QuerySetReference


def reference_of(value: Any) -> Reference | None:
    """Return the reference that travels in the place of ``value``, or None if it is itself."""
    if isinstance(value, models.Model):
        return ModelReference.of(value)
    if isinstance(value, (ModelReference, QuerySetReference)):
        return value
    if isinstance(value, models.QuerySet):
        return QuerySetReference.of(value)
    return named_by(value) if is_stand_in(value) else None


def from_wire(wire: Any) -> Reference:
    """Return the reference that ``as_wire`` wrote. Raises ``InvalidMessage`` if it is none."""
    if isinstance(wire, (list, tuple)) and len(wire) == 3:
        label, key, using = wire
        if isinstance(label, str) and isinstance(using, str):
            return ModelReference(label, key_from_wire(key), using)
    elif is_rows(wire):
        label, keys, using, kind = wire
        names = isinstance(label, str) and isinstance(using, str) and kind == "rows"
        if names and isinstance(keys, (list, tuple)):
            pks = tuple(map(key_from_wire, keys))
            check_spread(pks)
            return QuerySetReference(label, pks, using)
    raise InvalidMessage("The message holds a reference that is not of a known form.")


def all_from_wire(wires: Sequence[Any]) -> list[Reference]:
    """Return the references of a message. Raises ``InvalidMessage`` as ``from_wire`` does."""
    found = list(map(from_wire, wires))
    if len(found) > 1:  # many rows may be named in many places
        check_spread([key for each in found for key in each.keys])
    return found


def is_rows(wire: Any) -> bool:
    """Tell whether a wire form is that of a queryset's rows, if it is one at all."""
    return isinstance(wire, (list, tuple)) and len(wire) == 4


def from_plain(value: Any) -> Reference | None:
    """Return the reference that ``as_plain`` wrote, or None if ``value`` is something else."""
    if type(value) is dict and len(value) == 1 and PLAIN_KEY in value:
        return from_wire(value[PLAIN_KEY])
    return None


def to_references(value: Any) -> Any:
    """Return ``value`` with a reference in the place of every instance and queryset.

    Lists, tuples, dicts and sets are searched at any depth; what holds no
    instance is returned as it is and not copied.

    Raises ``UnsupportedValue`` for data that is nested too deeply, or contains itself.
    """
    try:
        return replace(value, reference_of)
    except RecursionError:
        raise UnsupportedValue(
            "A task's arguments cannot be nested this deeply, or contain themselves."
        ) from None


def replace(value: Any, find: Callable[[Any], Any]) -> Any:
    """Return ``value`` with every leaf for which ``find`` returns something else than None."""
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        items = [item if type(item) in LEAVES else replace(item, find) for item in value]
        same = all(map(_is, items, value))
        return value if same else kind(items)
    if isinstance(value, dict):
        pairs = {key: replace(item, find) for key, item in value.items()}
        same = all(map(_is, pairs.values(), value.values()))
        if same:
            return value
        if kind is dict:
            return pairs
        copy = value.copy()
        copy.update(pairs)
        return copy
    found = find(value)
    return value if found is None else found


#: The types of values that hold nothing.
LEAVES: Final = frozenset({int, str, float, bool, bytes, type(None)})


def _is(one: object, other: object) -> bool:
    return one is other


def _model(label: str) -> type[models.Model]:
    try:
        return apps.get_model(conf.get("MODEL_ALIASES").get(label, label))
    except (LookupError, ValueError):
        raise UnknownModel(
            f"This process has no model {label[:100]!r}, which a message refers to. Add its app to "
            "INSTALLED_APPS here, or deploy the code that has the model before sending. If it was "
            "renamed or moved, name it in CEREAL_METHODS['MODEL_ALIASES'].",
            label,
        ) from None


def reference_to(model: type[models.Model], key: Any) -> ModelReference:
    """Return the reference of a model's row by its primary key, as JSON or Python has it.

    A composite key is a list. Raises ``UnsupportedKey`` for what is no key of the model.
    """
    label = model._meta.label
    if (found := excess(key)) is not None:
        raise UnsupportedKey(f"A primary key that is {found} is none of {label}.", type(key))
    try:
        if key is None or isinstance(key, (bool, float)):
            raise TypeError(f"a {type(key).__name__} is no key")
        if isinstance(key, (list, dict)):
            key = key_from_wire(key)
        parts = key if isinstance(key, tuple) else (key,)
        for field, part in zip(model._meta.pk_fields, parts, strict=True):
            if takes_integers(field) and not isinstance(part, (int, str)):
                raise TypeError(f"a {type(part).__name__} is no integer")  # Django would round it
        cleaned = clean_key(model._meta.pk, key)
    except (TypeError, ValueError, ArithmeticError, ValidationError) as error:
        text = f"{key!r:.100}" if isinstance(key, (str, int, float)) else shown(key)
        raise UnsupportedKey(f"{text} is no primary key of {label}.", key) from error
    return ModelReference(model._meta.label, cleaned, router.db_for_write(model))


def written_to(model: type[models.Model], read_from: str) -> str:
    """Return the database that rows are written to which were read from another.

    Routers may decide by the database that an instance was read from: they are shown one
    without any field.
    """
    return router.db_for_write(model, instance=_bare(model, read_from))


def _alias_for_writes(queryset: models.QuerySet[Any], pks: tuple[Any, ...]) -> str:
    # Routers may decide by the database that an instance was read from, so one of
    # the queryset's instances is shown to them; with its key alone it costs no query.
    model = queryset.model
    if not pks:
        return router.db_for_write(model)
    return router.db_for_write(model, instance=_bare(model, queryset.db, pks[0]))


def _bare(model: type[models.Model], read_from: str, key: Any = None) -> models.Model:
    """Return an instance with at most its key, as if it had been read from a database.

    Neither ``__init__`` nor ``from_db`` makes it: a model's own may look at fields.
    """
    instance = model.__new__(model)
    state = models.base.ModelState()
    state.adding, state.db = False, read_from
    pk: Any = model._meta.pk
    is_composite = isinstance(pk, models.CompositePrimaryKey)
    fields = pk.fields if is_composite else [pk]
    keys = key if is_composite and key is not None else [key] * len(fields)
    # A key that is not there is None: Django would look for the row to find its key.
    values = {field.attname: value for field, value in zip(fields, keys, strict=True)}
    vars(instance).update(values, _state=state)
    return instance
