"""Checks of results: whether they can be written, read, and carry instances."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Final, get_args, get_type_hints

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import models

from ..running.target import row_model_of
from .accepted import accepts, result_accept_content, unusable
from .registry import celery_apps, named, never_raising, own_tasks

#: Result serializers that cannot carry instances or references.
_WITHOUT_INSTANCES: Final = frozenset({"json", "yaml", "msgpack"})


@never_raising
def check_results(app_configs: Any, **kwargs: Any) -> Iterator[CheckMessage]:
    """E003, E004 and W001: results that cannot be written, read, or carry their instances."""
    for app in celery_apps():
        name = str(app.conf.result_serializer)
        if not app.conf.result_backend:
            continue
        if (problem := unusable(name)) is not None:
            reason, remedy = problem
            yield Error(
                f"Results cannot be stored: the result_serializer {name!r} {reason}.",
                hint=remedy,
                id="cereal_methods.E003",
            )
            continue
        accepted, option = app.conf.result_accept_content, "result_accept_content"
        if accepted is None:
            accepted, option = app.conf.accept_content, "accept_content"
        if name.replace("_", "-").startswith(("cereal-", "django-cereal")) and not accepts(
            accepted, name
        ):
            yield Error(
                f"Results cannot be read: {option} lacks the result_serializer {name!r}.",
                hint=result_accept_content(app),
                id="cereal_methods.E004",
            )
        if name in _WITHOUT_INSTANCES:
            tasks = [task for task in own_tasks(app) if not task.ignore_result]
            returning = [task for task in tasks if _returns_instances(task)]
            if returning:
                yield CheckWarning(
                    f"According to its annotation, {named(returning)} returns model instances, "
                    f"which the result_serializer {name!r} cannot carry. The task would fail "
                    "after its work.",
                    hint=_carrying_instances(app),
                    id="cereal_methods.W001",
                )


def _carrying_instances(app: Any) -> str:
    """Return the settings with which results may contain instances."""
    setting = result_accept_content(app, "cereal-json")
    return (
        f"Set CELERY_RESULT_SERIALIZER = 'cereal-json' and {setting}, or use 'cereal-pickle' in "
        "both. Or set ignore_result=True on the task."
    )


def _returns_instances(task: Any) -> bool:
    """Whether a task returns instances, according to the annotation of its function."""
    function = task.run
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    function = getattr(function, "__func__", function)
    annotation = getattr(function, "__annotations__", {}).get("return")
    if annotation is None:
        return False
    model = row_model_of(task)
    local = {} if model is None else {model.__name__: model, "Self": model}
    holder: Any = types.SimpleNamespace(__annotations__={"return": annotation})
    try:
        kind = get_type_hints(holder, getattr(function, "__globals__", {}), local)["return"]
    except Exception:  # the annotation may be imported for type checkers only
        return False
    return _contains_model(kind)


def _contains_model(kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, (models.Model, models.QuerySet)):
        return True
    if getattr(kind, "_name", "") == "Self":  # of typing or typing_extensions
        return True
    origin = getattr(kind, "__origin__", None)
    if origin is not None and origin is not kind and _contains_model(origin):
        return True
    return any(_contains_model(part) for part in get_args(kind))
