"""Whether databases can lock rows as methods ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage
from django.core.checks import Warning as CheckWarning
from django.db import connections, router

from .registry import method_tasks, never_raising


@never_raising
def check_locks(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """W006: a database that cannot lock rows of methods with ``select_for_update``.

    Asks a database for its features, which may connect to it; so it runs for those alone
    that Django gives: ``manage.py check --database default``.
    """
    locking = [task for task in method_tasks() if task.row_policy.locks] if databases else []
    for alias in databases or ():
        here = [task for task in locking if router.db_for_write(task.row_model) == alias]
        for lacks, tasks in _lacking(here, alias).items():
            vendor = connections[alias].display_name
            names = ", ".join(task.name for task in tasks[:3])
            more = f" and {len(tasks) - 3} more" if len(tasks) > 3 else ""
            yield CheckWarning(
                f"The database {alias!r} ({vendor}) has no {lacks}, which {names}{more} "
                f"{'ask' if len(tasks) > 1 else 'asks'} for.",
                hint="Such a task is refused when it is sent. Use another database, or take the "
                "option away.",
                id="cereal_methods.W006",
            )


def _lacking(tasks: list[Any], alias: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for task in tasks:
        lacks = task.row_policy.lacks(connections[alias])
        if lacks:
            found.setdefault(lacks, []).append(task)
    return found
