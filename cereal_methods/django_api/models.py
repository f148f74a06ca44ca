"""Django's models, fields, instances and querysets; see the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.db import models
from django.db.models.base import ModelState
from django.db.models.query import ModelIterable

# An object of any class, that isinstance() takes for one of it. Else: all of that by hand.
from django.utils.functional import SimpleLazyObject as SimpleLazyObject
from django.utils.functional import empty

# Models.


def is_set_up() -> bool:
    """Whether ``django.setup()`` has been called in this process, and perhaps has not ended."""
    # apps.ready, which is documented, is false meanwhile: setup() cannot be called once more.
    return bool(apps.ready or apps.loading)


def registered_model(label: str) -> type[models.Model] | None:
    """Return the model of a label, also while models are still being imported, or None."""
    # apps.get_model() raises before all models are there.
    app_label, _, name = label.partition(".")
    found: type[models.Model] | None = apps.all_models.get(app_label, {}).get(name.lower())
    return found


def is_installed(model: type[models.Model]) -> bool:
    """Whether a model is a project's own, and not one that a migration has made."""
    # Both have one label, and class_prepared is sent for both.
    return model._meta.apps is apps


def managers_of(model: type[models.Model]) -> Mapping[str, Any]:
    """Return the managers of a model, inherited ones included, by their names."""
    # vars(model) has those of the class itself alone.
    return {manager.name: manager for manager in model._meta.managers}


def manager_name(manager: models.Manager[Any]) -> str | None:
    """Return the name of a model's manager; None if it is another: bound, related, or a copy."""
    # A worker finds managers by name. A manager of a relation has an instance, one of
    # db_manager() a database; both have the name of the one that they were made from.
    name: str | None = manager.name
    bound: Any = manager
    if name is None or hasattr(bound, "instance") or bound._db is not None:
        return None
    return name if getattr(manager.model, name, None) == manager else None


def concrete_model(given: Any) -> type[models.Model] | None:
    """Return the model whose table a model, proxy or instance has; None for anything else."""
    # Rows are equal by it and the key, as in Model.__eq__.
    return getattr(getattr(given, "_meta", None), "concrete_model", None)


def tables_of(model: type[models.Model]) -> set[str]:
    """Return the tables that a row of a model is in: its own, and those of its parents."""
    family = (concrete_model(model), *model._meta.all_parents)
    return {each._meta.db_table for each in family if each is not None}


def parent_links(model: type[models.Model]) -> Iterator[str]:
    """Give the paths to the rows that a row has in the tables of its model's parents."""
    # select_for_update(of=...) needs them. Else: all fields that have parent_link=True, by hand.
    for link in model._meta.parents.values():
        if link is not None:
            parent: Any = link.related_model
            yield link.name
            for further in parent_links(parent):
                yield f"{link.name}__{further}"


def selectable_relations(model: type[models.Model]) -> dict[str, Any]:
    """Return the models of relations to one row, by the names that ``select_related`` takes."""
    # Only the error of a query names them.
    found: dict[str, Any] = {
        field.name: field.related_model
        for field in model._meta.fields
        if field.is_relation and field.related_model is not None
    }
    for relation in model._meta.related_objects:
        if relation.one_to_one:
            found[relation.field.related_query_name()] = relation.related_model
    return found


def prefetchable_relations(model: type[models.Model]) -> dict[str, Any]:
    """Return the models of relations to any number of rows, by the names of their attributes."""
    options: Any = model._meta
    found = {
        field.name: field.related_model
        for field in (*options.get_fields(), *options.private_fields)
        if field.is_relation and not (field.auto_created and not field.concrete)
    }
    for relation in options.related_objects:
        found[relation.get_accessor_name()] = relation.related_model
    return found


def prefetch_path(prefetch: Any) -> str:
    """Return the path of relations that a ``Prefetch``, or its name, follows."""
    return str(getattr(prefetch, "prefetch_through", prefetch))


def prefetch_target(prefetch: Any) -> str:
    """Return the path of attributes under which a ``Prefetch``, or its name, puts what it finds."""
    return str(getattr(prefetch, "prefetch_to", prefetch))


def prefetch_attribute(prefetch: Any) -> str | None:
    """Return the ``to_attr`` of a ``Prefetch``, or None if it has none, or is a name."""
    return getattr(prefetch, "to_attr", None)


# Fields.


def column_field(field: Any) -> Any:
    """Return the field whose values a field has: the end of a chain of foreign keys, or itself."""
    while field.remote_field is not None:
        field = field.target_field
    return field


def key_parts(field: Any) -> Sequence[Any] | None:
    """Return the fields of a composite primary key, or None for any other field."""
    # model._meta.pk_fields is documented, and is there for models alone.
    return field.fields if isinstance(field, models.CompositePrimaryKey) else None


#: The attribute of a ``cached_property`` of Django's that has the function.
CACHED_FUNCTION: Final = "real_func"


# Instances.


def made_instance(
    model: type[models.Model], values: Mapping[str, Any], using: str | None, *, adding: bool = False
) -> Any:
    """Return an instance with these attributes alone, as if it had been read from a database."""
    # Neither __init__ nor from_db may be called: a model's own may look at fields, and signals
    # would be sent. A field that has no value is fetched when it is read.
    instance = model.__new__(model)
    state = ModelState()
    state.db, state.adding = using, adding
    vars(instance).update(values, _state=state)
    return instance


def lazy_value(lazy: Any) -> Any | None:
    """Return what a lazy object stands for, or None if it was not asked for yet."""
    # Whatever else one asks it for makes it fetch.
    found = vars(lazy)["_wrapped"]
    return None if found is empty else found


# Querysets.


def gives_instances(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset gives instances, and neither ``values()`` nor the like."""
    # Else: ask for the first row, with a query.
    kind: Any = queryset
    return issubclass(kind._iterable_class, ModelIterable)


def was_evaluated(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset has its rows, so that to iterate over it makes no query."""
    found: Any = queryset
    return found._result_cache is not None


def may_be_ordered(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset can be put in another order: it has none of its own, and no slice."""
    # queryset.ordered, which is documented, counts the model's own ordering.
    query: Any = queryset.query
    has_order = query.order_by or query.extra_order_by or query.distinct_fields
    return not (has_order or query.is_sliced or query.combinator)


def may_repeat_rows(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset may give a row twice: it joins tables, or is a union."""
    # Else: take all for such, and keep all keys in memory.
    query: Any = queryset.query
    return len(query.alias_map) > 1 or bool(query.combinator)


def check_sql(queryset: models.QuerySet[Any]) -> None:
    """Raise what the database would be sent an invalid query for; sends none.

    Raises ``EmptyResultSet`` where there can be no rows.
    """
    # str(queryset.query) takes the default database's SQL.
    query: Any = queryset.query
    query.get_compiler(queryset.db).as_sql()
