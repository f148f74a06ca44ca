"""Checks that the tables of records are on the databases of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import connections, router

from ..checks.registry import celery_apps, never_raising, own_tasks
from ..django_api.databases import product_of
from .databases import fallback
from .models import TaskRecord


@never_raising
def check_routers(app_configs: Any = None, **kwargs: Any) -> Iterator[CheckMessage]:
    """E011: a router does not allow the table of records on the database of durable rows."""
    for alias, names in _durable_by_database().items():
        if not router.allow_migrate_model(alias, TaskRecord):
            yield Error(
                f"{_listed(names)} {'are' if len(names) > 1 else 'is'} durable, with rows on the "
                f"database {alias!r}, and a database router does not allow the table of "
                "records there.",
                hint="Let allow_migrate return True or None there for the app cereal_records: a "
                "record commits with its row, or not at all.",
                id="cereal_methods.E011",
            )


@never_raising
def check_tables(
    app_configs: Any, databases: Sequence[str] | None = None, **kwargs: Any
) -> Iterator[CheckMessage]:
    """W011: a database has no table of records. W010: a database locks all of its tables at once.

    Only the databases that Django passes are checked: ``manage.py check --database default``.
    """
    durable = _durable_by_database() if databases else {}
    for alias in databases or ():
        if alias not in durable:
            continue
        connection: Any = connections[alias]
        if TaskRecord._meta.db_table not in connection.introspection.table_names():
            # A warning, because migrate runs this check before it makes the table.
            yield CheckWarning(
                f"The database {alias!r} has no table for the records of "
                f"{_listed(durable[alias])}.",
                hint=f"Run migrate --database {alias}.",
                id="cereal_methods.W011",
            )
        if not connection.features.has_select_for_update:
            yield CheckWarning(
                f"The database {alias!r} ({product_of(connection)}) locks all of its tables at "
                f"once, so durable methods such as {durable[alias][0]} run one after the other.",
                hint="This is enough for development, and for a few tasks a second.",
                id="cereal_methods.W010",
            )


def _durable_by_database() -> dict[str, list[str]]:
    """Return the names of durable tasks by the database that their records are on."""
    tasks: dict[str, list[str]] = {}
    for app in celery_apps():
        for task in own_tasks(app):
            if task.target.is_durable:
                names = tasks.setdefault(fallback(task), [])
                if task.name not in names:
                    names.append(task.name)
    return tasks


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"
