"""One run: the servers, the processes, who is killed when, and what must be true in the end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.kinds import HOST, MariaDB, Postgres, RabbitMQ, Redis, Server

#: After how many seconds what was sent, and has not ended, is sent again.
SENT_FOR = 5

#: Who is killed in between. The database is restarted twice besides.
KINDS = ("worker", "child", "relay", "sender", "broker")


@dataclass
class Outcome:
    """What a run has found."""

    expected: Counter[tuple[int, int]]
    found: Counter[tuple[int, int]]
    states: dict[str, int]
    killed: Counter[str]
    seconds: float
    errors: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Return what must not be: lost, doubled and unasked-for effects, and open ends."""
        lost = self.expected - self.found
        more = self.found - self.expected
        faults = [f"{len(lost)} effects are lost: {list(lost)[:5]}"] if lost else []
        if more:
            faults.append(f"{len(more)} effects are too many: {list(more.items())[:5]}")
        if set(self.states) - {"done"}:
            faults.append(f"Records are not done: {self.states}")
        return faults + self.errors


class Run:
    """Servers and processes that are killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        database: str,
        broker: str,
        transactions: int,
        seed: int,
        pause: float,
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.rng = random.Random(seed)
        # The servers' users are others, and are to find their folders.
        self.servers = Path(tempfile.mkdtemp(prefix="chaos-servers-"))
        self.servers.chmod(0o755)
        kinds: dict[str, type[Server]] = {
            "postgres": Postgres,
            "mariadb": MariaDB,
            "redis": Redis,
            "rabbitmq": RabbitMQ,
        }
        self.database = kinds[database](self.servers / "database")
        self.broker = kinds[broker](self.servers / "broker")
        self.count = transactions // 4
        self.pause = pause
        self.deck: list[str] = []
        self.reviving: threading.Thread | None = None
        self.killed: Counter[str] = Counter()
        self.senders: dict[int, subprocess.Popen[bytes]] = {}
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "CHAOS_DATABASES": json.dumps({"default": _settings(database, self.database.port)}),
            "CHAOS_BROKER_URL": _url(broker, self.broker.port),
            "CHAOS_TRANSPORT": json.dumps(
                {"visibility_timeout": 5} if broker == "redis" else {"confirm_publish": True}
            ),
        }

    def go(self) -> Outcome:
        """Run it all, and return what has come of it."""
        begun = time.monotonic()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.servers, ignore_errors=True)
            for server in (self.database, self.broker):
                stack.callback(server.end)
                server.start()
            stack.callback(self._end)
            self._python("-m", "django", "migrate", "--run-syncdb", "-v", "0")
            self._python("-m", "tests.chaos.ends", "begin")
            for number in range(2):
                self.workers[number] = self._worker(number)
            time.sleep(3)
            for number in range(4):
                self.senders[number] = self._sender(number)
            restarts = 2
            while any(sender.poll() is None for sender in self.senders.values()):
                time.sleep(self.rng.uniform(0.3, 1.2))
                if restarts and self._share() > (3 - restarts) / 3:
                    restarts -= 1
                    self._kill("database")
                else:
                    self._kill(self._next())
                self._revive()
            self._wait_for_broker()
            found = self._python("-m", "tests.chaos.ends", "end", str(SENT_FOR))
        ends = json.loads(found)
        return Outcome(
            Counter(map(tuple, ends["expected"])),
            Counter(map(tuple, ends["found"])),
            ends["states"],
            self.killed,
            time.monotonic() - begun,
        )

    def _next(self) -> str:
        """Return who is killed next: at random, and everybody before anybody again."""
        if not self.deck:
            self.deck = list(KINDS)
            self.rng.shuffle(self.deck)
        return self.deck.pop()

    def _share(self) -> float:
        """Return which part of the transactions has been tried."""
        tried = [self._progress(number) for number in range(4)]
        done = sum(int(path.read_text() or 0) for path in tried if path.exists())
        return done / (4 * self.count)

    def _progress(self, number: int) -> Path:
        return self.folder / f"sender-{number}.progress"

    def _python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _worker(self, number: int) -> subprocess.Popen[bytes]:
        return self._start(
            f"worker-{number}",
            *("-m", "celery", "-A", "tests", "worker", "-c", "2", "-l", "INFO"),
            *("-n", f"chaos-{number}@test", "--without-mingle", "--without-gossip"),
        )

    def _sender(self, number: int) -> subprocess.Popen[bytes]:
        arguments = [str(self._progress(number)), str(number), str(self.count)]
        return self._start(
            f"sender-{number}",
            *("-m", "tests.chaos.sender", *arguments, str(self.seed), str(self.pause)),
        )

    def _kill(self, kind: str) -> None:
        self.killed[kind] += 1
        if kind == "database":
            self.database.restart()
        elif kind == "broker":
            self._kill_broker()
        elif kind == "sender":
            going = [each for each in self.senders.values() if each.poll() is None]
            if going:
                _kill_group(self.rng.choice(going))
        elif kind == "worker":
            _kill_group(self.workers[self.rng.choice(list(self.workers))])
        else:
            children = _children(self.workers[self.rng.choice(list(self.workers))].pid)
            # The relay is started last.
            chosen = children[-1:] if kind == "relay" else children[:-1]
            if chosen:
                _signal(self.rng.choice(chosen))

    def _kill_broker(self) -> None:
        """Kill the broker, which is started again beside what goes on."""
        self._wait_for_broker()
        process: Any = self.broker.process
        _kill_group(process)  # RabbitMQ's is a shell's, whose child is the server
        # Redis has lost what it held. RabbitMQ has it on its disk.
        if isinstance(self.broker, RabbitMQ) and self.rng.random() < 0.5:
            shutil.rmtree(self.broker.folder / "data")
        self.reviving = threading.Timer(self.rng.uniform(0, 2), self.broker.start)
        self.reviving.start()

    def _wait_for_broker(self) -> None:
        if self.reviving is not None:
            self.reviving.join()

    def _revive(self) -> None:
        for number, worker in self.workers.items():
            if worker.poll() is not None:
                self.workers[number] = self._worker(number)
        for number, sender in self.senders.items():
            if sender.poll() not in (None, 0):
                self.senders[number] = self._sender(number)

    def _end(self) -> None:
        for process in (*self.senders.values(), *self.workers.values()):
            _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that this run has started, with its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _signal(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _url(broker: str, port: int) -> str:
    if broker == "redis":
        return f"redis://{HOST}:{port}/0"
    return f"amqp://guest:guest@{HOST}:{port}//"  # pragma: allowlist secret


def _settings(name: str, port: int) -> dict[str, Any]:
    if name == "postgres":
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": HOST,
            "PORT": port,
            "OPTIONS": {"connect_timeout": 5},
        }
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": "mysql",
        "USER": "root",
        "HOST": HOST,
        "PORT": port,
        "OPTIONS": {"connect_timeout": 5},
    }
