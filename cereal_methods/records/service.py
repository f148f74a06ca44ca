"""Running the relay in a worker: in a process of its own or in a thread."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from celery import bootsteps
from django.db import connections

from .. import conf
from ..celery_api.worker import ChildProcess, leave_worker
from .relay import Relay

logger = logging.getLogger("cereal_methods")

#: How often a worker checks that the process of its relay is alive, in seconds.
_CHECK_INTERVAL: Final = 2.0


class RelayStep(bootsteps.StartStopStep):
    """The worker's bootstep that starts the relay, and restarts it if it dies."""

    requires = ("celery.worker.components:Pool", "celery.worker.components:Timer")
    label = "Relay"

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = conf.get("RECORDS_INTERVAL") > 0
        self._relay: _RelayProcess | _RelayThread | None = None
        self._is_stopped = False

    def start(self, worker: Any) -> None:
        """Start the relay."""
        self._relay = self._new_relay(worker)
        self._relay.start()
        if isinstance(self._relay, _RelayProcess):
            worker.timer.call_repeatedly(_CHECK_INTERVAL, self._restart_if_dead, (worker,))

    def stop(self, worker: Any) -> None:
        """Stop the relay."""
        self._is_stopped = True
        if self._relay is not None:
            self._relay.stop()
            self._relay = None

    def terminate(self, worker: Any) -> None:
        """Stop the relay."""
        self.stop(worker)

    def _new_relay(self, worker: Any) -> _RelayProcess | _RelayThread:
        # The main process of a prefork worker should not open a database connection.
        is_prefork = getattr(worker.pool_cls, "__module__", "").endswith(".prefork")
        return _RelayProcess(worker.app) if is_prefork else _RelayThread(worker.app)

    def _restart_if_dead(self, worker: Any) -> None:
        relay = self._relay
        if self._is_stopped or relay is None or relay.is_alive():
            return
        logger.warning("The relay of durable tasks has died, and is restarted.")
        self._relay = self._new_relay(worker)
        self._relay.start()


def run_relay(
    app: Any,
    stopped: threading.Event,
    parent: int | None = None,
    using: Sequence[str] | None = None,
) -> None:
    """Send messages that are due until ``stopped`` is set or the parent process has died."""
    relay = Relay(app, using)
    interval = conf.get("RECORDS_INTERVAL") or 1
    while not stopped.is_set():
        started = time.monotonic()
        try:
            relay.tick()
        except Exception:
            logger.exception("The relay of durable tasks continues after an error.")
        if parent is not None and os.getppid() != parent:
            return
        stopped.wait(max(0.0, interval - (time.monotonic() - started)))


class _RelayThread(threading.Thread):
    """The relay of a worker that runs its tasks in its own process."""

    def __init__(self, app: Any) -> None:
        super().__init__(name="records-relay", daemon=True)
        self._app = app
        self._stopped = threading.Event()

    def run(self) -> None:
        """Send messages that are due until the worker stops."""
        self._app.set_current()
        try:
            run_relay(self._app, self._stopped)
        finally:
            connections.close_all()

    def stop(self) -> None:
        """Stop the relay, and wait for it for a few seconds."""
        self._stopped.set()
        self.join(timeout=5)


class _RelayProcess(ChildProcess):  # type: ignore[misc]
    """The relay of a worker that runs its tasks in child processes."""

    def __init__(self, app: Any) -> None:
        super().__init__(name="records-relay")
        self.daemon = True
        self._app = app
        self._parent = os.getpid()

    def run(self) -> None:
        """Send messages that are due until the worker stops or has died."""
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        for connection in connections.all(initialized_only=True):
            connection.connection = None  # it belongs to the parent process
        leave_worker(self._app, "relay of durable tasks")
        run_relay(self._app, stopped, self._parent)

    def stop(self) -> None:
        """Stop the relay, and kill it if it does not stop."""
        if self.is_alive():
            self.terminate()
            self.join(timeout=5)
        if self.pid is not None and self.is_alive():
            os.kill(self.pid, signal.SIGKILL)
            self.join(timeout=1)
