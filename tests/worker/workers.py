"""Real workers, in processes of their own, and what their probes have seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from django.conf import settings

from tests.celery import app

START_SECONDS = 120
STOP_SECONDS = 30


class Worker:
    """A ``celery worker`` process on a queue of its own."""

    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.queue = f"test-{uuid.uuid4().hex[:12]}"
        self.log = folder / f"{self.queue}.log"
        self.probe = folder / f"{self.queue}.probe"
        self.probe.touch()
        self._seen = 0
        self.options = options
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.worker.settings",
            "TEST_WORKER": "1",
            "TEST_PROBE": str(self.probe),
            "TEST_QUEUE": self.queue,
            **environment,
        }

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "celery", "-A", "tests", "worker", "-Q", self.queue]
        command += ["-n", self.name, "-l", "INFO", "--without-mingle", *self.options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        try:
            self.wait_for(lambda: " ready." in self.log.read_text(), "the worker to start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def name(self) -> str:
        """The name under which the worker answers."""
        return f"{self.queue}@test"

    @property
    def pid(self) -> int:
        """The process that consumes messages."""
        return self.process.pid

    def events(self) -> list[dict[str, Any]]:
        """Return what the probe has seen since the last time."""
        # The last line is empty, or still being written.
        lines = self.probe.read_text().split("\n")[:-1]
        new, self._seen = lines[self._seen :], len(lines)
        return [json.loads(line) for line in new]

    def wait_for(self, happened: Callable[[], Any], what: str) -> Any:
        """Return the first true answer, or fail with the worker's log."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if answer := happened():
                return answer
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(
            f"Waited in vain for {what}. The worker's log:\n{self.log.read_text()}"
        )

    def wait_for_log(self, text: str) -> None:
        """Wait until the worker has logged ``text``."""
        self.wait_for(lambda: text in self.log.read_text(), f"{text!r} in the log")


def send_to(worker: Worker) -> None:
    """Send the messages from now on to a worker's queue."""
    # In Django's settings: before 5.6 Celery reads them first, whatever app.conf was given.
    settings.CELERY_TASK_DEFAULT_QUEUE = app.conf.task_default_queue = worker.queue
    app.amqp.__dict__.pop("queues", None)
    app.amqp.__dict__.pop("router", None)
