"""Sentry's events about method tasks, with their row.

It needs sentry-sdk, which is the user's to install.
"""

from __future__ import annotations

from typing import Any

import sentry_sdk
from celery.signals import task_failure, task_prerun
from sentry_sdk.integrations import Integration

from . import display


class RowIntegration(Integration):
    """Names the row in Sentry's events, beside Sentry's own integration for Celery.

    Use it as in ``sentry_sdk.init(integrations=[RowIntegration()])``. Events of method tasks
    get a context ``row`` with ``model``, ``pk`` and ``database``. Failures from before the
    method began, as of a row that is gone, are reported too: Sentry's integration sees what
    is raised in the call of a task, and arguments are fetched before it. No query is run.
    """

    identifier = "cereal_methods"

    @staticmethod
    def setup_once() -> None:
        """Follow Celery's tasks."""
        task_prerun.connect(_name_row, weak=False, dispatch_uid=f"{__name__}.row")
        task_failure.connect(_report, weak=False, dispatch_uid=f"{__name__}.report")


def _is_on() -> bool:
    return sentry_sdk.get_client().get_integration(RowIntegration) is not None


def _name_row(task: Any, **kwargs: Any) -> None:
    row = display.row_of(task) if _is_on() else None
    if row is not None:
        # Of the scope that Sentry's integration has made for the task.
        sentry_sdk.set_context("row", display.fields(task, row))


def _report(sender: Any, exception: BaseException, kwargs: Any, **more: Any) -> None:
    call = getattr(kwargs, "call", None)
    is_ours = call is not None and call.failed_with(exception)
    if is_ours and _is_on() and not isinstance(exception, sender.throws):
        # Sentry drops it if it has seen the same one in the call.
        sentry_sdk.capture_exception(exception)
