"""Schedules: ``cereal_methods.bulk``, the task that sends a method for named rows."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery import shared_task

from ..exceptions import InvalidModelTask, ResultsNotKept
from ..running import text
from ..running.failures import retry_when_unavailable
from ..running.message import sent_arguments_of
from ..running.target import row_model_of
from ..suggestions import did_you_mean
from .bulk import Bulk
from .method_tasks import method_tasks
from .named_rows import rows_method, rows_named

if TYPE_CHECKING:
    from celery import Signature

logger = logging.getLogger("cereal_methods")

#: The task that sends a method for named rows.
BULK: Final = "cereal_methods.bulk"


@dataclass(frozen=True, slots=True)
class BulkCall:
    """A bulk as a schedule describes it, in names and plain values."""

    #: The name of the method's task.
    method: str
    #: The name of the rows.
    rows: str
    args: Iterable[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    batch_size: int | None = None
    options: Mapping[str, Any] | None = None

    def bulk(self, app: Any, *, is_due: bool = True, by: str = "bulk_apply_async") -> Bulk:
        """Return the bulk, checked and not sent yet.

        Unless it ``is_due``, the name of the rows is looked up, but not called. ``by`` is the
        method that was called with the options, for errors. Raises ``InvalidModelTask``,
        ``TypeError`` or ``ValueError`` if something does not fit.
        """
        task = _row_task(app, self.method)
        model: Any = row_model_of(task)
        if is_due:
            rows = rows_named(model, self.rows)
        else:
            rows_method(model, self.rows)
            rows = model._base_manager.none()
        options = self.options or {}
        return Bulk(task, model, rows, self.args, self.kwargs, self.batch_size, options, by)


def _row_task(app: Any, name: Any) -> Any:
    """Return the Celery task of a method that runs on rows, by its name or a former name.

    Raises ``InvalidModelTask`` for any other name.
    """
    task = app.tasks.get(name) if isinstance(name, str) else None
    if row_model_of(task) is not None:
        return task
    names = [method.name for method in method_tasks() if method.runs_on == "row"]
    hint = did_you_mean(name, names, "manage.py model_tasks lists those that do.")
    is_other = "is not a method that runs on rows" if task is not None else "does not exist"
    raise InvalidModelTask(f"The task {name!r}, to be sent for rows, {is_other}. {hint}", name)


def send_rows(
    task: Any,
    method: str,
    rows: str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Send a method for the rows that a name stands for now; return the id of the ``BulkResult``.

    It is the function of the task ``cereal_methods.bulk``, whose other arguments are those of
    ``BulkCall``.
    """
    bulk = BulkCall(method, rows, args, kwargs, batch_size, options).bulk(task.app)
    with retry_when_unavailable(task, functools.partial(sent_arguments_of, task.request)):
        bulk.send()
    result = bulk.result
    about = {
        **text.fields(task),
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
    except Exception as error:  # the messages have been sent all the same
        logger.warning("The bulk %s could not be saved: %s", result.id, error, extra=about)
    return result.id


_bulk: Any = shared_task(name=BULK, bind=True)(send_rows)


def signature(task: Any, call: BulkCall) -> Signature[str]:
    """Return the signature of the task that sends a method for named rows."""
    bulk = call.bulk(task.app, is_due=False, by="bulk_signature")
    optional = {
        "args": list(bulk.args),
        "kwargs": bulk.kwargs,
        "batch_size": call.batch_size,
        "options": dict(call.options or {}),
    }
    more = {name: value for name, value in optional.items() if value}
    signature: Signature[str] = _bulk.si(task.name, call.rows, **more)
    return signature.set(serializer=task.serializer)
