"""A probe of the worker's processes: every query, database session and mark, in order.

The lines go to the file that the environment variable ``TEST_PROBE`` names, and
not to a database, so that looking changes nothing of what is looked at.
"""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from django.db.backends.signals import connection_created


def install() -> None:
    """Record the queries and database sessions of this process and its children."""
    if "TEST_PROBE" in os.environ:
        connection_created.connect(_on_connection, dispatch_uid=__name__)


def mark(what: str, **details: Any) -> None:
    """Record that something happened, in the process and thread where it did."""
    if "TEST_PROBE" in os.environ:
        line = json.dumps(
            {"what": what, "pid": os.getpid(), "thread": threading.get_ident(), **details}
        )
        with open(os.environ["TEST_PROBE"], "a") as file:
            file.write(line + "\n")


def _on_connection(connection: Any, **kwargs: Any) -> None:
    mark("session", alias=connection.alias)
    if _on_query not in connection.execute_wrappers:
        connection.execute_wrappers.append(_on_query)


def _on_query(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    mark("query", alias=context["connection"].alias, sql=sql)
    return execute(sql, params, many, context)
