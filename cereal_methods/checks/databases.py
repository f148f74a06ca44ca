"""The check of the locks that databases support."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.db import connections, router

from ..django_api.databases import product_of
from ..running.target import policy_of
from .registry import never_raising, row_tasks


@never_raising
def check_locks(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """W006: a database that does not support a method's ``select_for_update``.

    Asking a database for its features may connect to it, so this checks only the databases that
    ``manage.py check --database`` names.
    """
    locking = [task for task in row_tasks() if policy_of(task).locks] if databases else []
    for alias in databases or ():
        here = [task for task in locking if router.db_for_write(task.target.model) == alias]
        for lacks, tasks in _lacking(here, alias).items():
            vendor = product_of(connections[alias])
            names = ", ".join(task.name for task in tasks[:3])
            more = f" and {len(tasks) - 3} more" if len(tasks) > 3 else ""
            yield CheckWarning(
                f"The database {alias!r} ({vendor}) does not support {lacks}, which {names}{more} "
                f"{'use' if len(tasks) > 1 else 'uses'}.",
                hint="Sending such a task raises an error. Use another database, or remove the "
                "option.",
                id="cereal_methods.W006",
            )


def _lacking(tasks: list[Any], alias: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for task in tasks:
        lacks = policy_of(task).missing_lock_feature(connections[alias])
        if lacks:
            found.setdefault(lacks, []).append(task)
    return found
