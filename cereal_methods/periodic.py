"""Methods for rows that are chosen when a schedule is due, and not before.

A schedule holds names and plain values only, as JSON can keep them. So the rows are
named: by a manager of the model, or by a method of one that returns a queryset.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from celery import shared_task
from django.db import models

from . import display
from .arguments import sent_by
from .bulk import Bulk
from .exceptions import InvalidModelTask, ResultsNotKept
from .failures import retrying

if TYPE_CHECKING:
    from celery import Signature

logger = logging.getLogger("cereal_methods")

#: The task that sends a method for named rows.
BULK: Final = "cereal_methods.bulk"


def rows_named(model: type[models.Model], name: str) -> models.QuerySet[Any]:
    """Return the rows of a model that have a name: no query is run yet.

    ``paid`` is ``Model.objects.paid()`` (whatever the default manager's name is), or all
    rows of the manager ``Model.paid``; ``archive.old`` is ``Model.archive.old()``. Raises
    ``InvalidModelTask`` where there are none of the name.
    """
    found = _named(model, name)()
    if not (isinstance(found, models.QuerySet) and issubclass(found.model, model)):
        raise InvalidModelTask(
            f"The rows {name!r} of {model._meta.label} are no queryset of it: a "
            f"{type(found).__qualname__}. Return self.filter(...) there, or the like.",
            name,
        )
    return found


def _named(model: type[models.Model], name: Any) -> Any:
    """Return what is called for the rows of a name."""
    label = model._meta.label
    managers = {manager.name: manager for manager in model._meta.managers}
    path = str(name).split(".")
    if path[0] not in managers and len(path) == 1:
        path = [model._default_manager.name, *path]
    if path[0] not in managers or len(path) > 2:
        raise _unknown(model, name, managers)
    manager: Any = getattr(model, path[0])
    if len(path) == 1:
        return manager.all
    method = path[1]
    found = getattr(manager, method, None) if method.isidentifier() else None
    if found is None:
        raise _unknown(model, name, managers)
    wrong = None
    is_method = callable(found) and not isinstance(found, type) and not hasattr(found, "delay")
    if method.startswith("_") or not is_method:
        wrong = "is no method that returns a queryset"
    elif method != "all" and hasattr(models.Manager, method):
        wrong = "is one of Django's own methods, which take arguments or change rows"
    elif getattr(found, "alters_data", False):
        wrong = "changes rows (alters_data)"
    elif _needs_arguments(found):
        wrong = "needs arguments, which a name cannot give"
    if wrong:
        raise InvalidModelTask(
            f"The rows {name!r} of {label} cannot be taken by that name: it {wrong}. Write a "
            "method of a manager, or of a queryset with as_manager(), that takes self alone.",
            name,
        )
    return found


def _needs_arguments(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # its signature is not known
        pass
    return False


def _unknown(model: type[models.Model], name: Any, managers: Mapping[str, Any]) -> InvalidModelTask:
    known = sorted(managers)
    for each in model._meta.managers:
        own = [
            method
            for method in dir(type(each))
            if not hasattr(models.Manager, method) and not method.startswith("_")
        ]
        known += own if each == model._default_manager else [f"{each.name}.{one}" for one in own]
    near = difflib.get_close_matches(str(name), known, n=1)
    return InvalidModelTask(
        f"{model._meta.label} has no rows {name!r}: neither a manager nor a method of its default "
        f"manager has that name. {f'Did you mean {near[0]!r}?' if near else _list(known)}",
        name,
    )


def _list(known: Iterable[str]) -> str:
    return f"There are {', '.join(known)}."


def method_task(app: Any, name: Any) -> Any:
    """Return the Celery task of a method that runs on rows, by its name.

    Raises ``InvalidModelTask`` for any other name.
    """
    task = app.tasks.get(name) if isinstance(name, str) else None
    if getattr(task, "row_model", None) is not None:
        return task
    known = [each for each in app.tasks if getattr(app.tasks[each], "row_model", None)]
    near = difflib.get_close_matches(str(name), known, n=1)
    is_other = "is no method that runs on rows" if task is not None else "does not exist"
    raise InvalidModelTask(
        f"The task {name!r}, to be sent for rows, {is_other}. "
        + (f"Did you mean {near[0]!r}?" if near else "manage.py model_tasks lists those that do."),
        name,
    )


def planned(
    app: Any,
    method: str,
    rows: str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    is_due: bool = True,
) -> Bulk:
    """Return the bulk that a schedule describes, which is checked and not sent.

    The arguments are those of the task ``cereal_methods.bulk``: the name of the method's
    task, that of the rows, and what ``bulk_apply_async`` takes. Unless it ``is_due``, the
    rows are looked for by their name and not asked for. Raises ``InvalidModelTask``,
    ``TypeError`` or ``ValueError`` where something does not fit.
    """
    task = method_task(app, method)
    model = task.row_model
    if not is_due:
        _named(model, rows)
    found = rows_named(model, rows) if is_due else model._base_manager.none()
    return Bulk(task, model, found, args, kwargs, batch_size, options or {})


def send_rows(
    task: Any,
    method: str,
    rows: str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Send a method for the rows that have a name now; return the id of the ``BulkResult``."""
    bulk = planned(task.app, method, rows, args, kwargs, batch_size, options)
    with retrying(task, functools.partial(sent_by, task.request)):
        bulk.send()
    result = bulk.result
    about = {
        **display.fields(task),
        "bulk": result.id,
        "method": method,
        "model": bulk.model._meta.label,
        "rows": result.total,
        "database": bulk.using,
    }
    logger.info(
        "Task %s[%s] has sent %s for %s of the rows %r: bulk %s",
        task.name,
        task.request.id,
        method,
        result.total,
        rows,
        result.id,
        extra=about,
    )
    try:
        if not task.app.conf.task_always_eager:
            result.save()
    except ResultsNotKept:
        pass
    except Exception as error:  # what was sent stays sent
        logger.warning("The bulk %s could not be saved: %s", result.id, error, extra=about)
    return result.id


_bulk: Any = shared_task(name=BULK, bind=True)(send_rows)


def signature(
    task: Any,
    rows: str,
    args: Iterable[Any],
    kwargs: Mapping[str, Any] | None,
    batch_size: int | None,
    options: Mapping[str, Any],
) -> Signature[str]:
    """Return the signature of the task that sends a method for named rows."""
    call = task.name, rows, args, kwargs, batch_size, options
    bulk = planned(task.app, *call, is_due=False)
    given = {
        "args": list(bulk.args),
        "kwargs": bulk.kwargs,
        "batch_size": batch_size,
        "options": dict(options),
    }
    more = {name: value for name, value in given.items() if value}
    found: Signature[str] = _bulk.si(task.name, rows, **more)
    return found.set(serializer=task.serializer)
