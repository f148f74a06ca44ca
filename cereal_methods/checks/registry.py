"""What the checks look at: Celery's apps, and the tasks that are the library's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from celery import current_app
from celery._state import _get_active_apps  # type: ignore[attr-defined]
from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning

Check: TypeAlias = Callable[..., list[CheckMessage]]


def never_raising(check: Callable[..., Iterable[CheckMessage]]) -> Check:
    """Make a check of a generator, and a message of what keeps it from looking."""

    @functools.wraps(check)
    def guarded(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
        found = []
        try:
            for message in check(app_configs, **kwargs):
                found.append(message)
        except Exception as error:
            found.append(
                CheckWarning(
                    f"{check.__name__} could not look: {type(error).__name__}: {error}",
                    hint="Correct what it says, and run the checks again.",
                    id="cereal_methods.W008",
                )
            )
        return found

    return guarded


def celery_apps() -> list[Any]:
    """Return the project's Celery apps, the current one first.

    Without the one that Celery makes where there is none.
    """
    apps = [app for app in _get_active_apps() if app.main != "default"]
    if len(apps) < 2:  # asked for the current one, Celery would make one
        return apps
    current = current_app._get_current_object()  # type: ignore[attr-defined]
    return sorted(apps, key=lambda app: (app is not current, str(app.main)))


def own_tasks(app: Any) -> Iterator[Any]:
    """Give the tasks of ``@model_task`` and ``@task``, by their names."""
    for name in sorted(app.tasks):
        task = app.tasks[name]
        if hasattr(task, "row_policy"):
            yield task


def method_tasks() -> Iterator[Any]:
    """Give the tasks of methods that have a row, each once, from any app."""
    for app in celery_apps()[:1]:
        seen = set()
        for task in own_tasks(app):
            # An alias is a task too, of the same method.
            if getattr(task, "row_model", None) is not None and task.run not in seen:
                seen.add(task.run)
                yield task


def named(tasks: list[Any]) -> str:
    """Return text that names one of several tasks, or the one that there is."""
    first = tasks[0].name
    return first if len(tasks) == 1 else f"{first} and {len(tasks) - 1} more"
