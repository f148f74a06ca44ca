"""The row of a task in Sentry's events; it needs sentry-sdk."""

from __future__ import annotations

from typing import Any

import sentry_sdk
from celery.signals import task_failure, task_prerun
from sentry_sdk.integrations import Integration

from ..rows.container import ArgumentContainer
from ..running import text

__all__ = ["RowIntegration"]


class RowIntegration(Integration):
    """Adds the row of a method's task to Sentry's events, beside Sentry's CeleryIntegration.

    Use it as in ``sentry_sdk.init(integrations=[RowIntegration()])``. Events get the context
    ``row`` with ``model``, ``pk``, ``database``, ``task_name`` and ``task_id``. The integration
    also reports failures to fetch the rows, for example of a row that is gone: Sentry's own sees
    only what is raised while the task is called, and rows may be fetched before that. The
    integration runs no query.
    """

    identifier = "cereal_methods"

    @staticmethod
    def setup_once() -> None:
        """Connect to Celery's signals."""
        task_prerun.connect(_name_row, weak=False, dispatch_uid=f"{__name__}.row")
        task_failure.connect(_report, weak=False, dispatch_uid=f"{__name__}.report")


def _is_on() -> bool:
    return sentry_sdk.get_client().get_integration(RowIntegration) is not None


def _name_row(task: Any, **kwargs: Any) -> None:
    row = text.row_of(task) if _is_on() else None
    if row is not None:
        # In the scope that Sentry's CeleryIntegration has made for the task.
        sentry_sdk.set_context("row", text.fields(task, row))


def _report(sender: Any, exception: BaseException, kwargs: Any, **more: Any) -> None:
    is_of_fetch = isinstance(kwargs, ArgumentContainer) and kwargs.call.failed_with(exception)
    if is_of_fetch and _is_on() and not isinstance(exception, sender.throws):
        # Sentry drops it if its own integration has reported the same exception.
        sentry_sdk.capture_exception(exception)
