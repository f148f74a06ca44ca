"""Checks of the names of methods' tasks, and of the relations in their options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db import models

from ..django_api.models import (
    prefetch_attribute,
    prefetch_path,
    prefetchable_relations,
    selectable_relations,
)
from ..exceptions import InvalidModelTask
from ..running.target import policy_of, row_model_of
from ..sending import registry
from ..sending.method_tasks import method_tasks
from ..suggestions import did_you_mean
from .registry import celery_apps, never_raising, row_tasks


@never_raising
def check_names(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E005: the name of a method's task has since been taken by another task."""
    for app in celery_apps():
        names = {name for method in method_tasks() for name in (method.name, *method.aliases)}
        for name in sorted(names):
            try:
                registry.check_name(app, name)
            except InvalidModelTask as error:
                reason, _, remedy = str(error).partition(". ")
                yield Error(f"{reason}.", hint=remedy, id="cereal_methods.E005")


@never_raising
def check_relations(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E006: a relation in ``select_related`` or ``prefetch_related`` that does not exist."""
    for task in row_tasks():
        model, policy = row_model_of(task), policy_of(task)
        related = policy.select_related
        for name in () if isinstance(related, bool) else related:
            yield from _missing(task, "select_related", name, selectable_relations, model)
        attributes = {prefetch_attribute(each) for each in policy.prefetch_related}
        for each in policy.prefetch_related:
            name = prefetch_path(each)
            yield from _missing(
                task, "prefetch_related", name, prefetchable_relations, model, attributes
            )


def _missing(
    task: Any, option: str, name: str, relations: Any, model: Any, known: Any = ()
) -> Iterator[CheckMessage]:
    """Yield an error for the first part of a path that does not exist."""
    for part in name.split("__"):
        found = relations(model)
        if part not in found:
            # A prefetch may also follow other attributes of the model, and to_attr of a Prefetch.
            if part in known or (option == "prefetch_related" and hasattr(model, part)):
                return
            others = (
                f"Its relations are {', '.join(sorted(found))}."
                if found
                else f"{model._meta.label} has no relations."
            )
            yield Error(
                f"{task.name} has {option}={name!r}, but {model._meta.label} has no relation "
                f"{part!r}.",
                hint=did_you_mean(part, found, others),
                obj=row_model_of(task),
                id="cereal_methods.E006",
            )
            return
        model = found[part]
        if not (isinstance(model, type) and issubclass(model, models.Model)):
            return  # a generic relation leads to any model
