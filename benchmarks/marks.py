"""What a worker's processes leave in files while they work: times, queries and sessions.

Which files is in the environment: ``BENCH_TIMES`` has eight bytes for each task that
was run, its end on the clock that all processes share, ``BENCH_EVENTS`` a line of
JSON for each query, session and task. Neither is there unless it is asked for.
"""

from __future__ import annotations

import json
import os
import struct
import time
from typing import Any, Final

from celery.signals import task_postrun, worker_process_init
from django.db.backends.signals import connection_created

from cereal_methods.running.state import is_row_of_batch

TIME: Final = struct.Struct("d")


def install() -> None:
    """Begin to leave marks, in this process and its children."""
    if path := os.environ.get("BENCH_TIMES"):
        _install_times(path)
    if path := os.environ.get("BENCH_EVENTS"):
        _install_events(path)


def _open(path: str) -> int:
    # Appending is one system call, and what several processes write does not mix.
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _install_times(path: str) -> None:
    file = _open(path)

    def on_task(task: Any, **kwargs: Any) -> None:
        if not _is_row(task):
            os.write(file, TIME.pack(time.monotonic()))

    task_postrun.connect(on_task, weak=False)


def _install_events(path: str) -> None:
    file = _open(path)

    def mark(what: str, **details: Any) -> None:
        os.write(file, (json.dumps({"what": what, "pid": os.getpid(), **details}) + "\n").encode())

    def on_query(execute: Any, sql: str, *rest: Any) -> Any:
        mark("query", sql=sql)
        return execute(sql, *rest)

    def on_session(connection: Any, **kwargs: Any) -> None:
        mark("session")
        if on_query not in connection.execute_wrappers:
            connection.execute_wrappers.append(on_query)

    connection_created.connect(on_session, weak=False)

    def on_task(task: Any, **kwargs: Any) -> None:
        if not _is_row(task):
            mark("task", name=task.name)

    task_postrun.connect(on_task, weak=False)
    worker_process_init.connect(lambda **kwargs: mark("child"), weak=False)


def _is_row(task: Any) -> bool:
    """Whether a batch's row has ended, and not a message."""
    return is_row_of_batch(task.request)
