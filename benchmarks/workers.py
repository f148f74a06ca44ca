"""Real workers of the contenders, which take messages only when they are told to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from .contenders import environment_of
from .runner import Runner

START_SECONDS: Final = 60


class Worker:
    """A ``celery worker`` and, beside it, the process that sends to it.

    It stands by on a queue of its own, and takes ``queue`` when it is told to.
    """

    def __init__(
        self, contender: str, queue: str, concurrency: int, *, counts: bool, **environment: str
    ) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.log = Path(self.folder.name, "log")
        self.times = Path(self.folder.name, "times")
        self.events = Path(self.folder.name, "events")
        self.name = f"{queue}@bench"
        self.environment = environment_of(contender) | environment | {"BENCH_QUEUE": queue}
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.celery", "worker"]
        command += ["-n", self.name, "-Q", f"{queue}-idle", "-l", "WARNING", "--pool=prefork"]
        command += [f"--concurrency={concurrency}"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        # The counts have a worker of their own: writing events takes time.
        marks = {"BENCH_EVENTS": self.events} if counts else {"BENCH_TIMES": self.times}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(  # noqa: S603
                command,
                env={**os.environ, **self.environment, **marks},
                stdout=log,
                stderr=log,
            )
        self.runner = Runner(**self.environment)

    def ask(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a function in the process beside the worker."""
        try:
            return self.runner.ask(function, name=self.name, **arguments)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\nThe worker says:\n{self.log.read_text()}") from None

    def stop(self) -> None:
        """End both processes, and remove the queues."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        with suppress(RuntimeError, OSError):  # it may have ended already
            self.runner.ask(forget_queues)
        self.runner.__exit__()
        self.folder.cleanup()


@contextmanager
def workers(
    names: list[str], run: str, concurrency: int, *, counts: bool = False, **environment: str
) -> Iterator[dict[str, Worker]]:
    """Give a worker of each contender's, ready and standing by."""
    found: dict[str, Worker] = {}
    try:
        for place, name in enumerate(names):
            found[name] = Worker(
                name, f"bench-{run}-{place}", concurrency, counts=counts, **environment
            )
        for worker in found.values():
            worker.ask(wait_until_ready)
        yield found
    finally:
        for worker in found.values():
            worker.stop()


def forget_queues() -> None:
    """Remove the queue of this process's worker, and the one on which it stands by."""
    from .celery import app

    forget(app.conf.task_default_queue)
    forget(f"{app.conf.task_default_queue}-idle")


def forget(name: str) -> None:
    """Remove a queue and its exchange, and on Redis what binds them."""
    from .celery import app

    queue = app.amqp.queues[name]
    with app.connection_for_write() as broker:
        bound = queue(broker.default_channel)
        bound.declare()  # or kombu would not know what there is to remove
        bound.delete()
        if bound.exchange.name:
            bound.exchange.delete()


def wait_until_ready(name: str) -> None:
    """Return when a worker answers."""
    from .celery import app

    until = time.monotonic() + START_SECONDS
    while not app.control.ping([name], timeout=0.5):
        if time.monotonic() > until:
            raise RuntimeError(f"The worker {name} does not answer.")


def children(pid: int) -> list[int]:
    """Return the processes of a worker's pool."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(*pids: int) -> float:
    """Return the processor's time that processes have had, all of their threads together.

    From the scheduler's own account, in nanoseconds, where the kernel keeps one; the ticks
    of ``/proc/PID/stat`` are ten milliseconds each.
    """
    return sum(map(_cpu_seconds, pids))


def _cpu_seconds(pid: int) -> float:
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except FileNotFoundError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
