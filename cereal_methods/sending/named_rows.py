"""Rows that have a name: a manager, or a manager's method that returns a queryset.

A schedule holds names and plain values only, so it names the rows that it is for.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from django.db import models

from ..django_api.models import manager_name, managers_of
from ..exceptions import InvalidModelTask
from ..suggestions import did_you_mean


def rows_named(model: type[models.Model], name: str) -> models.QuerySet[Any]:
    """Return the queryset that a name stands for, without running a query.

    ``paid`` is ``Model.objects.paid()`` (whatever the name of the default manager is), or all
    rows of the manager ``Model.paid``. ``archive.old`` is ``Model.archive.old()``.

    Raises ``InvalidModelTask`` if the model has no such rows.
    """
    rows = rows_method(model, name)()
    if not (isinstance(rows, models.QuerySet) and issubclass(rows.model, model)):
        raise InvalidModelTask(
            f"The rows {name!r} of {model._meta.label} are not a queryset of it but a "
            f"{type(rows).__qualname__}. Return self.filter(...) there, or the like.",
            name,
        )
    return rows


def rows_method(model: type[models.Model], name: Any) -> Any:
    """Return the callable that returns the named rows, without calling it.

    Raises ``InvalidModelTask`` if nothing has the name, or if a name cannot call it.
    """
    label = model._meta.label
    managers = managers_of(model)
    path = str(name).split(".")
    if path[0] not in managers and len(path) == 1:
        path = [str(manager_name(model._default_manager)), *path]
    if path[0] not in managers or len(path) > 2:
        raise _unknown(model, name, managers)
    manager: Any = getattr(model, path[0])
    if len(path) == 1:
        return manager.all
    method = path[1]
    function = getattr(manager, method, None) if method.isidentifier() else None
    if function is None:
        raise _unknown(model, name, managers)
    wrong = None
    is_method = (
        callable(function) and not isinstance(function, type) and not hasattr(function, "delay")
    )
    if method.startswith("_") or not is_method:
        wrong = "is not a method that returns a queryset"
    elif method != "all" and hasattr(models.Manager, method):
        wrong = "is one of Django's own methods, which take arguments or change rows"
    elif getattr(function, "alters_data", False):
        wrong = "changes rows (alters_data)"
    elif _needs_arguments(function):
        wrong = "needs arguments, which a name cannot give"
    if wrong:
        raise InvalidModelTask(
            f"The rows {name!r} of {label} cannot be looked up: it {wrong}. Write a "
            "method of a manager, or of a queryset with as_manager(), that takes self alone.",
            name,
        )
    return function


def _needs_arguments(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # the signature is unknown, as that of a builtin may be
        pass
    return False


def _unknown(model: type[models.Model], name: Any, managers: Mapping[str, Any]) -> InvalidModelTask:
    names = sorted(managers)
    for manager_path, manager in managers.items():
        prefix = "" if manager == model._default_manager else f"{manager_path}."
        names += [
            f"{prefix}{method}"
            for method in dir(type(manager))
            if not hasattr(models.Manager, method) and not method.startswith("_")
        ]
    hint = did_you_mean(name, names, f"There are {', '.join(names)}.")
    return InvalidModelTask(
        f"{model._meta.label} has no rows {name!r}: neither a manager nor a method of its default "
        f"manager has that name. {hint}",
        name,
    )
