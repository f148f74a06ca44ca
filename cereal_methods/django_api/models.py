"""Django's models, fields, instances and querysets; see the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.db import models
from django.db.models.base import ModelState
from django.db.models.query import ModelIterable

# A lazy object of any class, which passes isinstance(). Else: write all of it by hand.
from django.utils.functional import SimpleLazyObject as SimpleLazyObject
from django.utils.functional import empty

# Models.


def is_set_up() -> bool:
    """Whether ``django.setup()`` was called in this process, even if it is still running."""
    # The documented apps.ready is False while setup() runs, which cannot be called again then.
    return bool(apps.ready or apps.loading)


def registered_model(label: str) -> type[models.Model] | None:
    """Return the model of a label or None, even while models are still being imported."""
    # apps.get_model() raises an error before all models are loaded.
    app_label, _, name = label.partition(".")
    model: type[models.Model] | None = apps.all_models.get(app_label, {}).get(name.lower())
    return model


def is_installed(model: type[models.Model]) -> bool:
    """Whether a model is the project's own, and not one that a migration has made."""
    # Both have the same label, and class_prepared is sent for both.
    return model._meta.apps is apps


def managers_of(model: type[models.Model]) -> Mapping[str, Any]:
    """Return the managers of a model, inherited ones included, by their names."""
    # vars(model) has only those of the class itself.
    return {manager.name: manager for manager in model._meta.managers}


def manager_name(manager: models.Manager[Any]) -> str | None:
    """Return the name of a model's manager; None for a related manager or a copy of a manager."""
    # A worker finds managers by name. A related manager has an instance, and one of db_manager()
    # has a database. Both have the name of the manager that they were made from.
    name: str | None = manager.name
    bound: Any = manager
    if name is None or hasattr(bound, "instance") or bound._db is not None:
        return None
    return name if getattr(manager.model, name, None) == manager else None


def concrete_model(value: Any) -> type[models.Model] | None:
    """Return the model whose table a model, proxy or instance uses; None for anything else."""
    # Rows are equal if this and the key are equal, as in Model.__eq__.
    return getattr(getattr(value, "_meta", None), "concrete_model", None)


def tables_of(model: type[models.Model]) -> set[str]:
    """Return the tables of a model and of its parents."""
    family = (concrete_model(model), *model._meta.all_parents)
    return {member._meta.db_table for member in family if member is not None}


def parent_links(model: type[models.Model]) -> Iterator[str]:
    """Yield the paths to a row's parts in the tables of its model's parents."""
    # select_for_update(of=...) needs them. Else: find the fields with parent_link=True.
    for link in model._meta.parents.values():
        if link is not None:
            parent: Any = link.related_model
            yield link.name
            for path in parent_links(parent):
                yield f"{link.name}__{path}"


def selectable_relations(model: type[models.Model]) -> dict[str, Any]:
    """Return the models of relations to one row, by the names that ``select_related`` takes."""
    # Otherwise only the error of a query lists them.
    relations: dict[str, Any] = {
        field.name: field.related_model
        for field in model._meta.fields
        if field.is_relation and field.related_model is not None
    }
    for relation in model._meta.related_objects:
        if relation.one_to_one:
            relations[relation.field.related_query_name()] = relation.related_model
    return relations


def prefetchable_relations(model: type[models.Model]) -> dict[str, Any]:
    """Return the models of relations to any number of rows, by the names of their attributes."""
    options: Any = model._meta
    relations = {
        field.name: field.related_model
        for field in (*options.get_fields(), *options.private_fields)
        if field.is_relation and not (field.auto_created and not field.concrete)
    }
    for relation in options.related_objects:
        relations[relation.get_accessor_name()] = relation.related_model
    return relations


def prefetch_path(prefetch: Any) -> str:
    """Return the path of relations that a ``Prefetch``, or its name, follows."""
    return str(getattr(prefetch, "prefetch_through", prefetch))


def prefetch_target(prefetch: Any) -> str:
    """Return the path of attributes in which a ``Prefetch``, or its name, stores its rows."""
    return str(getattr(prefetch, "prefetch_to", prefetch))


def prefetch_attribute(prefetch: Any) -> str | None:
    """Return the ``to_attr`` of a ``Prefetch``; None without one, or for a name."""
    return getattr(prefetch, "to_attr", None)


# Fields.


def column_field(field: Any) -> Any:
    """Return the field at the end of a chain of foreign keys, or the field itself."""
    while field.remote_field is not None:
        field = field.target_field
    return field


def key_parts(field: Any) -> Sequence[Any] | None:
    """Return the fields of a composite primary key, or None for any other field."""
    # The documented model._meta.pk_fields exists only for models.
    return field.fields if isinstance(field, models.CompositePrimaryKey) else None


#: The attribute of Django's ``cached_property`` that holds the function.
CACHED_FUNCTION: Final = "real_func"


# Instances.


def made_instance(
    model: type[models.Model], values: Mapping[str, Any], using: str | None, *, adding: bool = False
) -> Any:
    """Return an instance with only these attributes, as if it was read from a database."""
    # Do not call __init__ or from_db: a model's own ones may read fields, and signals would be
    # sent. A field without a value is fetched when it is read.
    instance = model.__new__(model)
    state = ModelState()
    state.db, state.adding = using, adding
    vars(instance).update(values, _state=state)
    return instance


def lazy_value(lazy: Any) -> Any | None:
    """Return the object behind a lazy object, or None if it is not loaded yet."""
    # Any other access makes it fetch.
    value = vars(lazy)["_wrapped"]
    return None if value is empty else value


# Querysets.


def gives_instances(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset gives instances, not ``values()`` or the like."""
    # Else: fetch the first row, with a query.
    kind: Any = queryset
    return issubclass(kind._iterable_class, ModelIterable)


def was_evaluated(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset has loaded its rows, so that iterating over it runs no query."""
    evaluated: Any = queryset
    return evaluated._result_cache is not None


def may_be_ordered(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset can be ordered: it has no order of its own, and no slice."""
    # The documented queryset.ordered counts the model's ordering too.
    query: Any = queryset.query
    has_order = query.order_by or query.extra_order_by or query.distinct_fields
    return not (has_order or query.is_sliced or query.combinator)


def may_repeat_rows(queryset: models.QuerySet[Any]) -> bool:
    """Whether a queryset may give a row twice: it joins tables, or is a union."""
    # Else: assume it of all querysets, and keep all keys in memory.
    query: Any = queryset.query
    return len(query.alias_map) > 1 or bool(query.combinator)


def check_sql(queryset: models.QuerySet[Any]) -> None:
    """Raise the error of an invalid query, without running it.

    Raises ``EmptyResultSet`` if the query cannot have rows.
    """
    # str(queryset.query) uses the SQL of the default database.
    query: Any = queryset.query
    query.get_compiler(queryset.db).as_sql()
