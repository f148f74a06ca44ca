"""Servers of the tests' own, on free ports of the loopback, which can be stopped and started.

Each runs in the foreground as a child of the tests, with its data in a temporary folder.
"""

from __future__ import annotations

import glob
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 30


def free_port() -> int:
    """Return a port that is free, outside of those that outgoing connections are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)):
                return port


def program(name: str, *folders: str) -> str:
    """Return the path of a server's program. Raises ``FileNotFoundError``."""
    for folder in folders:
        if found := sorted(glob.glob(f"{folder}/{name}")):
            return found[-1]
    if path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"):
        return path
    raise FileNotFoundError(f"There is no {name} on this machine.")


class Server:
    """A server's process and its folder."""

    #: The user that runs the server where root does not.
    user = ""
    #: What ends the process at once, as an administrator's restart does.
    stop_signal = signal.SIGTERM

    def __init__(self, port: int) -> None:
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        self.process: subprocess.Popen[bytes] | None = None
        if self.account:
            shutil.chown(self.folder, self.account)

    @property
    def account(self) -> str | None:
        """The user that the processes need: root changes to it, others stay who they are."""
        return self.user if self.user and os.geteuid() == 0 else None

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return what the server's environment has beside that of the tests."""
        return {}

    def run(self, *command: str) -> None:
        """Run a program to its end."""
        subprocess.run(
            command,
            check=True,
            user=self.account,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **self.environment()},
        )

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                user=self.account,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environment()},
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{type(self).__name__} did not start:\n{(self.folder / 'log').read_text()}"
                )
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether clients can do something."""
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def stop(self) -> None:
        """Stop the server, with its clients' connections, and wait for its end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def restart(self) -> None:
        """Stop the server and start it again."""
        self.stop()
        self.start()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    """PostgreSQL, with a database ``faults``."""

    user = "postgres"
    stop_signal = signal.SIGINT  # "fast": it does not wait for its clients

    def __init__(self, port: int) -> None:
        super().__init__(port)
        initdb, self.program, self.is_ready = (
            program(name, "/usr/lib/postgresql/*/bin")
            for name in ("initdb", "postgres", "pg_isready")
        )
        self.run(initdb, "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "--no-sync")

    def command(self) -> list[str]:
        """Return the command."""
        return [
            *(self.program, "-D", f"{self.folder}/data", "-p", str(self.port), "-k", ""),
            *("-c", f"listen_addresses={HOST}", "-c", "fsync=off", "-c", "max_connections=100"),
        ]

    def answers(self) -> bool:
        """Whether it takes connections."""
        command = [self.is_ready, "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0


class MariaDB(Server):
    """MariaDB, whose root has no password."""

    user = "mysql"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.program = program("mariadbd")
        self.admin = program("mariadb-admin")
        self.run(
            program("mariadb-install-db"),
            *("--no-defaults", f"--datadir={self.folder}/data", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )

    def command(self) -> list[str]:
        """Return the command."""
        return [
            *(self.program, "--no-defaults", f"--datadir={self.folder}/data"),
            *(f"--port={self.port}", f"--bind-address={HOST}", f"--socket={self.folder}/socket"),
            *("--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"),
            *("--skip-log-bin", "--skip-name-resolve", f"--pid-file={self.folder}/pid"),
        ]

    def answers(self) -> bool:
        """Whether it takes connections."""
        command = [self.admin, "--no-defaults", "-u", "root", "-h", HOST, "-P", str(self.port)]
        done = subprocess.run([*command, "ping"], check=False, capture_output=True)
        return done.returncode == 0


class Redis(Server):
    """Redis, which keeps what it was told over a restart."""

    def command(self) -> list[str]:
        """Return the command."""
        return [
            *(program("redis-server"), "--port", str(self.port), "--bind", HOST, "--save", ""),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always"),
        ]

    @property
    def url(self) -> str:
        """Where Celery finds it."""
        return f"redis://{HOST}:{self.port}/0"


class RabbitMQ(Server):
    """RabbitMQ, a node of its own with a name server of its own."""

    user = "rabbitmq"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.program = program(
            "rabbitmq-server", "/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/lib/*/sbin"
        )
        self.names = free_port()
        self.between_nodes = free_port()
        (self.folder / "plugins").write_text("[].\n")
        self.epmd: subprocess.Popen[bytes] | None = None

    def environment(self) -> Mapping[str, str]:
        """Keep everything of the node in its folder, and on the loopback."""
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self.names),
            "RABBITMQ_NODENAME": f"faults{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.between_nodes),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": f"{self.folder}/data",
            "RABBITMQ_LOG_BASE": f"{self.folder}/logs",
            "RABBITMQ_CONFIG_FILE": f"{self.folder}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{self.folder}/none-env",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.folder}/plugins",
        }

    def command(self) -> list[str]:
        """Return the command."""
        return [self.program]

    def start(self) -> None:
        """Start the names' server too: Erlang would leave one behind."""
        if self.epmd is None:
            self.epmd = subprocess.Popen(
                [program("epmd"), "-address", HOST, "-port", str(self.names)],
                user=self.account,
                env={**os.environ, **self.environment()},
            )
        super().start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()

    @property
    def url(self) -> str:
        """Where Celery finds it."""
        return f"amqp://guest:guest@{HOST}:{self.port}//"  # pragma: allowlist secret
