"""The kinds of servers: how each is installed in an empty folder, started and stopped.

This module needs the standard library alone.
"""

from __future__ import annotations

import glob
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

HOST = "127.0.0.1"
START_SECONDS = 100
STOP_SECONDS = 30


class ProgramMissing(Exception):
    """A server's program is not installed."""


def reserve() -> socket.socket:
    """Return a socket that keeps a port of the loopback until it is closed.

    The port is not one of those that the system gives to outgoing connections.
    """
    while True:
        found = socket.socket()
        try:
            found.bind((HOST, random.randrange(20_000, 32_000)))
        except OSError:
            found.close()
        else:
            return found


class Server:
    """A server's process and its folder."""

    #: What people call it, and the Debian package that has it.
    title = package = ""
    #: Its programs, the one that runs the server last.
    programs: tuple[str, ...] = ()
    #: Where the programs may be, beside the PATH.
    folders: tuple[str, ...] = ()
    #: The user that runs the server where root does not.
    user = ""
    #: What ends the process soon, as an administrator's restart does.
    stop_signal = signal.SIGTERM
    #: What ends it at once, when nothing of it is needed any more.
    end_signal = signal.SIGKILL
    #: How many ports it listens on.
    ports = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reserved = [reserve() for _ in range(self.ports)]
        self.port, *self.further_ports = [each.getsockname()[1] for each in self.reserved]
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()
        self.is_over = False

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of a program. Raises ``ProgramMissing``."""
        for folder in cls.folders:
            if found := sorted(glob.glob(f"{folder}/{name}")):
                return found[-1]
        if path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"):
            return path
        raise ProgramMissing(
            f"{cls.title} is not installed: the program {name} is missing. "
            f"Install it, on Debian with the package {cls.package}."
        )

    @classmethod
    def check(cls) -> None:
        """Raise ``ProgramMissing`` unless every program is installed."""
        for name in cls.programs:
            cls.program(name)

    @property
    def account(self) -> str | None:
        """The user that the processes need: root changes to it, others stay who they are."""
        if not self.user or os.geteuid():
            return None
        known = {each.pw_name for each in pwd.getpwall()}
        return self.user if self.user in known else "nobody"

    def install(self) -> None:
        """Put into the folder what the server needs for its first start."""

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return what the server's environment has beside that of the tests."""
        return {}

    def run(self, *command: str) -> None:
        """Run a program to its end."""
        done = subprocess.run(
            command,
            check=False,
            user=self.account,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment()},
        )
        if done.returncode:
            raise RuntimeError(
                f"{self.title}: {command[0]} failed:\n{done.stdout}{done.stderr}".rstrip()
            )

    def spawn(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a process of the server's, whose output goes to the log."""
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                user=self.account,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **self.environment()},
            )

    def start(self) -> None:
        """Start the server, unless it runs, and wait until it answers."""
        with self.lock:
            if self.is_over or (self.process is not None and self.process.poll() is None):
                return
            self.check()
            if not self.folder.exists():
                self.folder.mkdir()
                if self.account:
                    shutil.chown(self.folder, self.account)
                self.install()
            while self.reserved:
                self.reserved.pop().close()
            self.launch()
            self.wait_for_answer()

    def launch(self) -> None:
        """Start the server's processes."""
        self.process = self.spawn(*self.command())

    def wait_for_answer(self) -> None:
        """Wait until clients can do something."""
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self.is_over and not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = (self.folder / "log").read_text()
                raise RuntimeError(f"{self.title} did not start:\n{log}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether clients can do something."""
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def stop(self) -> None:
        """Stop the server, with its clients' connections, and wait for its end."""
        with self.lock:
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

    def end(self) -> None:
        """End the server for good, with all of its processes."""
        self.is_over = True  # a start that is under way gives up
        with self.lock:
            if self.process is not None and self.process.poll() is None:
                os.killpg(self.process.pid, self.end_signal)
                self.process.wait()


class Postgres(Server):
    """PostgreSQL, whose user ``postgres`` needs no password."""

    title = "PostgreSQL"
    package = "postgresql"
    programs = ("initdb", "pg_isready", "postgres")
    folders = ("/usr/lib/postgresql/*/bin",)
    user = "postgres"
    stop_signal = signal.SIGINT  # "fast": it does not wait for its clients
    end_signal = signal.SIGQUIT  # "immediate": it gives its shared memory back, as after a kill not

    def install(self) -> None:
        """Make the cluster."""
        self.run(
            *(self.program("initdb"), "-D", f"{self.folder}/data", "-U", "postgres"),
            *("-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        )

    def command(self) -> list[str]:
        """Return the command."""
        return [
            *(self.program("postgres"), "-D", f"{self.folder}/data", "-p", str(self.port)),
            *("-k", "", "-c", f"listen_addresses={HOST}", "-c", "fsync=off"),
            *("-c", "max_connections=100"),
        ]

    def answers(self) -> bool:
        """Whether it takes connections."""
        command = [self.program("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0


class MariaDB(Server):
    """MariaDB, whose root has no password."""

    title = "MariaDB"
    package = "mariadb-server"
    programs = ("mariadb-install-db", "mariadb-admin", "mariadbd")
    user = "mysql"

    def install(self) -> None:
        """Make the system's tables."""
        self.run(
            self.program("mariadb-install-db"),
            *("--no-defaults", f"--datadir={self.folder}/data", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )

    def command(self) -> list[str]:
        """Return the command."""
        return [
            *(self.program("mariadbd"), "--no-defaults", f"--datadir={self.folder}/data"),
            *(f"--port={self.port}", f"--bind-address={HOST}", f"--socket={self.folder}/socket"),
            *("--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0"),
            *("--skip-log-bin", "--skip-name-resolve", f"--pid-file={self.folder}/pid"),
            "--character-set-server=utf8mb4",
        ]

    def answers(self) -> bool:
        """Whether it takes connections."""
        admin = self.program("mariadb-admin")
        command = [admin, "--no-defaults", "-u", "root", "-h", HOST, "-P", str(self.port)]
        done = subprocess.run([*command, "ping"], check=False, capture_output=True)
        return done.returncode == 0


class Redis(Server):
    """Redis, which keeps nothing over a restart."""

    title = "Redis"
    package = "redis-server"
    programs = ("redis-server",)

    def command(self) -> list[str]:
        """Return the command."""
        return [
            *(self.program("redis-server"), "--port", str(self.port), "--bind", HOST),
            *("--dir", str(self.folder), "--save", ""),
        ]


class DurableRedis(Redis):
    """Redis, which keeps over a restart what it has confirmed."""

    def command(self) -> list[str]:
        """Return the command."""
        return [*super().command(), "--appendonly", "yes", "--appendfsync", "always"]


class RabbitMQ(Server):
    """RabbitMQ, a node of its own with a name server of its own."""

    title = "RabbitMQ"
    package = "rabbitmq-server"
    programs = ("epmd", "rabbitmq-server")
    # Debian's program on the PATH changes the user by itself.
    folders = ("/usr/lib/rabbitmq/bin", "/usr/lib/rabbitmq/lib/*/sbin")
    user = "rabbitmq"
    ports = 3

    epmd: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Leave the plugins out."""
        (self.folder / "plugins").write_text("[].\n")

    def environment(self) -> Mapping[str, str]:
        """Keep everything of the node in its folder, and on the loopback."""
        between_nodes, names = self.further_ports
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(names),
            "RABBITMQ_NODENAME": f"tests{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(between_nodes),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": f"{self.folder}/data",
            "RABBITMQ_LOG_BASE": f"{self.folder}/logs",
            "RABBITMQ_CONFIG_FILE": f"{self.folder}/none",
            "RABBITMQ_CONF_ENV_FILE": f"{self.folder}/none-env",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.folder}/plugins",
        }

    def command(self) -> list[str]:
        """Return the command."""
        return [self.program("rabbitmq-server")]

    def launch(self) -> None:
        """Start the names' server too: Erlang would leave one behind."""
        if self.epmd is None:
            names = str(self.further_ports[1])
            self.epmd = self.spawn(self.program("epmd"), "-address", HOST, "-port", names)
        super().launch()

    def end(self) -> None:
        """End the names' server too."""
        super().end()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()


#: The servers of one run of the tests: two of Redis, of which one may be restarted.
KINDS: Mapping[str, type[Server]] = {
    "postgres": Postgres,
    "mariadb": MariaDB,
    "redis": Redis,
    "broker": DurableRedis,
    "rabbitmq": RabbitMQ,
}


def missing(*names: str) -> list[str]:
    """Return what keeps the servers of these names from running here."""
    found = []
    for name in names:
        try:
            KINDS[name].check()
        except ProgramMissing as error:
            found.append(str(error))
    return found
