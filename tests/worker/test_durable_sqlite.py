"""Durable tasks on SQLite, with real workers: one writer at a time, and nothing is lost."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.celery import app

from .bank import RELAY
from .workers import Worker

#: As docs/durable.md asks for.
OPTIONS = "timeout=20&transaction_mode=IMMEDIATE"


class Files:
    """A project whose databases are files, and what its processes do."""

    def __init__(self, folder: Path) -> None:
        self.paths = {alias: folder / f"{alias}.sqlite3" for alias in ("default", "archive")}
        default, archive = (f"sqlite:///{path}?{OPTIONS}" for path in self.paths.values())
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "TEST_DATABASE_URL": default,
            "TEST_ARCHIVE_URL": archive,
            "TEST_BROKER_URL": settings.REDIS_URL,
            "TEST_RESULT_BACKEND": settings.REDIS_URL,
            **RELAY,
        }

    def call(self, *command: str, queue: str = "") -> None:
        """Run a command of the program in a process of its own."""
        subprocess.run(
            [sys.executable, "-m", "tests.worker.programs.sqlite_bank", *command],
            env={**os.environ, **self.environment, "TEST_QUEUE": queue},
            check=True,
        )

    def select(self, alias: str, sql: str) -> list[Any]:
        """Return the first column of a query."""
        with closing(sqlite3.connect(self.paths[alias], timeout=20)) as connection:
            return [row[0] for row in connection.execute(sql)]

    def states(self, alias: str = "default") -> Counter[str]:
        """Return how many records are in each state."""
        return Counter(self.select(alias, "SELECT state FROM cereal_records_taskrecord"))

    def amounts(self, alias: str = "default") -> list[int]:
        """Return the effects."""
        return sorted(self.select(alias, "SELECT amount FROM bank_entry"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    found = Files(tmp_path_factory.mktemp("files"))
    found.call("migrate")
    return found


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker], files: Files) -> Worker:
    """A worker that is killed in the end."""
    return start_worker("--pool=prefork", "--concurrency=2", **files.environment)


def test_tasks_of_every_kind_end_once(worker: Worker, files: Files) -> None:
    files.call("send", queue=worker.queue)
    worker.wait_for(
        lambda: files.states() + files.states("archive") == {"done": 30, "failed": 1}, "the end"
    )
    assert files.amounts() == [*range(20), 100, 200, 201, 202, 300, 400, 500, 600]
    assert files.amounts("archive") == [601, 700]
    assert "database is locked" not in worker.log.read_text()


def test_the_task_of_a_killed_worker_runs_once(
    worker: Worker, start_worker: Callable[..., Worker], files: Files
) -> None:
    before = files.states(), files.amounts()
    files.call("dawdle", "1000", "2", queue=worker.queue)
    worker.wait_for(
        lambda: any(event.get("amount") == 1000 for event in worker.events()), "the task to begin"
    )
    kill(worker)
    assert files.states() - before[0] == {"sent": 1}
    other = start_worker("--pool=solo", **files.environment)
    app.control.add_consumer(worker.queue, destination=[other.name], reply=True)
    files.call("again")
    other.wait_for(lambda: not files.states()["sent"] + files.states()["waiting"], "the end")
    assert files.states() - before[0] == {"done": 1}
    assert files.amounts() == [*before[1], 1000]


def kill(worker: Worker) -> None:
    """Kill a worker with its processes."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    for pid in (worker.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    worker.process.wait()
