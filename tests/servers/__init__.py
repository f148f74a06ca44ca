"""PostgreSQL, MariaDB, Redis and RabbitMQ of the tests' own.

They listen on free ports of the loopback, keep their data in a temporary folder, and end with
the tests. Processes that run tests side by side, and the workers that they start, share them:
the first process starts a keeper, and puts its address and the servers' ports into the
environment. A server starts when a test first needs it. Nobody needs a password.

``TEST_POSTGRES_URL``, ``TEST_MARIADB_URL``, ``TEST_REDIS_URL`` and ``TEST_RABBITMQ_URL`` name
other servers.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
from functools import cache
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .kinds import HOST, ProgramMissing

__all__ = ["HOST", "ProgramMissing", "Server", "Unavailable", "start", "url"]

#: Where processes find the keeper and the ports, as JSON.
VARIABLE = "TEST_SERVERS"

#: How clients reach a server of ours, at its host and port.
URLS = {
    "postgres": "postgres://postgres@{}/cereal_methods",
    "mariadb": "mysql://root@{}/cereal_methods",
    "redis": "redis://{}/0",
    "broker": "redis://{}/0",
    "rabbitmq": "amqp://guest:guest@{}//",  # pragma: allowlist secret
}

#: Where a server listens unless its address says so.
PORTS = {"postgres": 5432, "mysql": 3306, "redis": 6379, "amqp": 5672}


class Unavailable(Exception):
    """A server that the tests need does not answer, or cannot be started."""


@cache
def _keeper() -> Any:
    """Return the keeper's socket and the servers' ports; the first process starts it."""
    if VARIABLE not in os.environ:
        # Without what makes coverage measure a process: nothing of the package runs there.
        environment = {
            name: value for name, value in os.environ.items() if "COVERAGE_PROCESS" not in name
        }
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__name__}.keeper"],
            cwd=Path(__file__).parents[2],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests, which end it when they end
        )
        atexit.register(_end, process, os.getpid())
        assert process.stdout is not None
        with process.stdout as told:
            os.environ[VARIABLE] = told.readline()
    return json.loads(os.environ[VARIABLE])


def _end(process: subprocess.Popen[str], owner: int) -> None:
    """End the keeper and its servers, in the process that has started it."""
    if os.getpid() == owner:
        process.terminate()
        process.wait()


class Server(NamedTuple):
    """A server of the tests' own, which runs or not."""

    name: str

    @property
    def port(self) -> int:
        """The port that it listens on when it runs."""
        return int(_keeper()["ports"][self.name])

    @property
    def url(self) -> str:
        """Where clients find it."""
        return URLS[self.name].format(f"{HOST}:{self.port}")

    def start(self) -> None:
        """Start it, unless it runs. Raises ``ProgramMissing`` where it is not installed."""
        self._tell("start")

    def stop(self) -> None:
        """Stop it, with its clients' connections."""
        self._tell("stop")

    def restart(self) -> None:
        """Stop it and start it again."""
        self._tell("restart")

    def _tell(self, action: str) -> None:
        with Client(_keeper()["socket"], "AF_UNIX") as keeper:
            keeper.send((self.name, action))
            outcome, reason = keeper.recv()
        if outcome == "missing":
            raise ProgramMissing(reason)
        if outcome == "failed":
            raise Unavailable(reason)


def url(name: str) -> str:
    """Return where a server is: of ours, or the one that ``TEST_..._URL`` names."""
    return os.environ.get(f"TEST_{name.upper()}_URL") or Server(name).url


def start(address: str) -> None:
    """Let the server at a URL run: ours is started, another one must answer.

    Raises ``ProgramMissing`` or ``Unavailable``.
    """
    parts = urlsplit(address)
    host, port = parts.hostname or HOST, parts.port or PORTS[parts.scheme]
    if host == HOST and VARIABLE in os.environ:
        for name, own in _keeper()["ports"].items():
            if own == port:
                Server(name).start()
                return
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise Unavailable(f"No {parts.scheme} server answers at {host}:{port}: {error}") from error
