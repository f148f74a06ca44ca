"""Schedules with a real ``celery beat``: its own, and that of django-celery-beat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from cereal_methods import BulkResult
from cereal_methods.sending.schedules import BULK
from tests.shop.models import Document, Order

from .workers import STOP_SECONDS, Worker

COUNT = "tests.shop.models.Order.count"
TRACE = "tests.shop.models.Order.trace"
PUBLISH = "tests.shop.models.Document.publish"


class Beat:
    """A ``celery beat`` process that sends to a worker's queue."""

    def __init__(self, worker: Worker, folder: Path, *options: str, **environment: str) -> None:
        self.worker = worker
        self.log = folder / "beat.log"
        self.command = [sys.executable, "-m", "celery", "-A", "tests", "beat", "-l", "INFO"]
        self.command += ["--pidfile=", "--max-interval=1", *options]
        self.environment = {
            **worker.environment,
            "TEST_PROBE": str(folder / "probe"),
            **environment,
        }

    def __enter__(self) -> Self:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(STOP_SECONDS)

    def wait_for(self, happened: Callable[[], Any], what: str) -> None:
        """Wait for the worker to do something, or fail with the log of both."""
        try:
            self.worker.wait_for(happened, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\nThe log of beat:\n{self.log.read_text()}") from None


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Worker:
    """One worker for all of these tests."""
    return start_worker("--pool=prefork", "--concurrency=1", TEST_BEAT="1")


ENTRIES: dict[str, dict[str, Any]] = {
    "one row": {"task": COUNT, "kwargs": {"this": 5}},
    "rows": {"task": BULK, "args": [TRACE, "paid"], "kwargs": {"batch_size": 2}},
    "rows of a queryset": {"task": BULK, "kwargs": {"method": PUBLISH, "rows": "drafts"}},
}


@pytest.fixture
def schedule(worker: Worker, tmp_path: Path) -> Beat:
    """Beat with its own scheduler, and the entries in the settings."""
    entries = {name: {**entry, "schedule": 1} for name, entry in ENTRIES.items()}
    options = ("--schedule", str(tmp_path / "schedule"))
    return Beat(worker, tmp_path, *options, TEST_BEAT_SCHEDULE=json.dumps(entries))


def manage(worker: Worker, function: str, entries: Any) -> str:
    """Return what a function of ``programs.beat_rows`` prints, with django-celery-beat."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.worker.programs.beat_rows", function, json.dumps(entries)],
        env={**worker.environment, "TEST_BEAT": "1", "TEST_PROBE": os.devnull},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def rows(worker: Worker, tmp_path: Path) -> Beat:
    """Beat with django-celery-beat's scheduler, and the entries in its tables."""
    pytest.importorskip("django_celery_beat", reason="django-celery-beat is not installed")
    manage(worker, "fill", ENTRIES)
    scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
    return Beat(worker, tmp_path, "--scheduler", scheduler, TEST_BEAT="1")


@pytest.mark.parametrize("source", ["schedule", "rows"])
def test_a_row_and_rows_by_name_run_when_they_are_due(
    source: str, worker: Worker, request: pytest.FixtureRequest
) -> None:
    one = Order.objects.create(pk=5, number="one")
    Order.objects.create(pk=6, number="paid", status="paid")
    Document.objects.create(title="draft")
    seen: list[str] = []

    def begun() -> list[str]:
        seen.extend(each["number"] for each in worker.events() if each.get("number"))
        return seen

    def tries() -> int:
        return Order.objects.get(pk=5).tries

    with request.getfixturevalue(source) as beat:
        beat.wait_for(lambda: tries() >= 2 and "paid" in begun(), "two rounds")
        # Rows that are there by the next round, and no longer those that are not.
        Order.objects.filter(pk=6).update(status="new")
        Order.objects.create(pk=7, number="later", status="paid")
        beat.wait_for(lambda: "later" in begun(), "the rows of a later round")
        seen.clear()
        beat.wait_for(lambda: begun().count("later") >= 2, "one more round")
        worker.wait_for_log(f"{PUBLISH}[")

    assert "paid" not in seen
    assert "one" not in seen
    assert one.tries == 0
    log = worker.log.read_text()
    assert " has sent tests.shop.models.Order.trace for 1 of the rows 'paid': bulk " in log
    (bulk_id, *_) = log.partition("of the rows 'paid': bulk ")[2].split()
    result = BulkResult.restore(bulk_id)
    assert result is not None
    assert (result.total, result.succeeded) == (1, 1)


def test_the_rows_of_django_celery_beat_are_checked(rows: Beat, worker: Worker) -> None:
    wrong = {
        "no row": {"task": COUNT, "args": "[]", "kwargs": "{}"},
        "no such rows": {"task": BULK, "args": json.dumps([COUNT, "payed"]), "kwargs": "{}"},
        "fine": {"task": COUNT, "args": "[]", "kwargs": '{"this": "5"}'},
        "not in JSON": {"task": COUNT, "args": "[", "kwargs": "{}"},
        "another's": {"task": "billing.tasks.bill", "args": "[1]", "kwargs": "{}"},
    }

    messages, without = manage(worker, "check", wrong).splitlines()[-2:]
    assert json.loads(messages) == [
        [
            "cereal_methods.E008",
            f"The periodic task 'no row' cannot run {COUNT}: it is a method, and the call does not "
            "name a row.",
        ],
        [
            "cereal_methods.E008",
            f"The periodic task 'no such rows' cannot run {BULK}: shop.Order has no rows 'payed': "
            "neither a manager nor a method of its default manager has that name.",
        ],
    ]
    assert without == "0"
