"""The Celery apps and the tasks that are checked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning

from ..celery_api.tasks import active_apps, get_current_app, is_fallback
from ..running.target import is_row_task
from ..sending.method_tasks import method_tasks

Check: TypeAlias = Callable[..., list[CheckMessage]]


def never_raising(check: Callable[..., Iterable[CheckMessage]]) -> Check:
    """Turn a generator into a check, and an exception in it into a message."""

    @functools.wraps(check)
    def guarded(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
        messages = []
        try:
            for message in check(app_configs, **kwargs):
                messages.append(message)
        except Exception as error:
            messages.append(
                CheckWarning(
                    f"{check.__name__} could not run: {type(error).__name__}: {error}",
                    hint="Correct the error, and run the checks again.",
                    id="cereal_methods.W008",
                )
            )
        return messages

    return guarded


def celery_apps() -> list[Any]:
    """Return the project's Celery apps, the current one first.

    Celery's default app, which it makes if the project has none, is left out.
    """
    apps = [app for app in active_apps() if not is_fallback(app)]
    if len(apps) < 2:  # without an app, Celery would make one
        return apps
    current = get_current_app()
    return sorted(apps, key=lambda app: (app is not current, str(app.main)))


def own_tasks(app: Any) -> Iterator[Any]:
    """Yield the tasks of ``@model_task`` and ``@task``, ordered by name."""
    for name in sorted(app.tasks):
        task = app.tasks[name]
        if is_row_task(task):
            yield task


def row_tasks() -> Iterator[Any]:
    """Yield the tasks of methods that run on a row, from the project's Celery app."""
    for app in celery_apps()[:1]:
        for method in method_tasks():
            if method.runs_on == "row" and is_row_task(app.tasks.get(method.name)):
                yield app.tasks[method.name]


def named(tasks: list[Any]) -> str:
    """Return the name of the first task, and how many more there are."""
    first = tasks[0].name
    return first if len(tasks) == 1 else f"{first} and {len(tasks) - 1} more"
