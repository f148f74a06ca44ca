"""Whether names that methods are given, and that their options give, mean something."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import models

from .. import tasks
from ..exceptions import InvalidModelTask
from .registry import celery_apps, method_tasks, never_raising


@never_raising
def check_names(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E005: a method's task whose name another task has taken since it was defined."""
    for app in celery_apps():
        for name in tasks.names():
            try:
                tasks.check_name(app, name)
            except InvalidModelTask as error:
                fact, _, hint = str(error).partition(". ")
                yield Error(f"{fact}.", hint=hint, id="cereal_methods.E005")


@never_raising
def check_relations(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E006: a relation in ``select_related`` or ``prefetch_related`` that does not exist."""
    for task in method_tasks():
        model, policy = task.row_model, task.row_policy
        related = policy.select_related
        for name in () if isinstance(related, bool) else related:
            yield from _missing(task, "select_related", name, _selectable, model)
        attributes = {getattr(each, "to_attr", None) for each in policy.prefetch_related}
        for each in policy.prefetch_related:
            name = getattr(each, "prefetch_through", each)
            yield from _missing(task, "prefetch_related", name, _prefetchable, model, attributes)


def _missing(
    task: Any, option: str, name: str, relations: Any, model: Any, known: Any = ()
) -> Iterator[CheckMessage]:
    """Give an error for the first part of a path that leads nowhere."""
    for part in name.split("__"):
        found = relations(model)
        if part not in found:
            # A manager's own attributes, and those of other prefetches, may stand there.
            if part in known or (option == "prefetch_related" and hasattr(model, part)):
                return
            near = difflib.get_close_matches(part, found, n=1)
            others = f"It has {', '.join(sorted(found))}." if found else "It has none."
            yield Error(
                f"{task.name} has {option}={name!r}, and {model._meta.label} has no such relation "
                f"{part!r}.",
                hint=f"Did you mean {near[0]!r}?" if near else others,
                obj=task.row_model,
                id="cereal_methods.E006",
            )
            return
        model = found[part]
        if not (isinstance(model, type) and issubclass(model, models.Model)):
            return  # a generic relation's other end is any model


def _selectable(model: Any) -> dict[str, Any]:
    """Return the relations to one row, by the names of ``select_related``."""
    found = {
        field.name: field.related_model
        for field in model._meta.fields
        if field.is_relation and field.related_model is not None
    }
    for relation in model._meta.related_objects:
        if relation.one_to_one:
            found[relation.field.related_query_name()] = relation.related_model
    return found


def _prefetchable(model: Any) -> dict[str, Any]:
    """Return the relations to any number of rows, by the names of attributes."""
    found = {
        field.name: field.related_model
        for field in (*model._meta.get_fields(), *model._meta.private_fields)
        if field.is_relation and not (field.auto_created and not field.concrete)
    }
    for relation in model._meta.related_objects:
        found[relation.get_accessor_name()] = relation.related_model
    return found
