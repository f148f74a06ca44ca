"""The tutorial in docs/, followed to the letter: in an empty folder, with a real worker on Redis.

What it installs is installed here, so its virtual environment is left out. Where the reader gets
ten seconds for a line, a program gets two; where the worker gets ten, it gets a minute.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings

from tests.unit.interpreters import ROOT

SECONDS = 60
REDIS = "redis://localhost:6379/0"

#: Commands that the reader gives and that have been given here.
INSTALLATION = (".venv", "pip install")

#: Runs the tutorial's lines in Django's shell.
SESSION = Path(__file__).parent / "programs" / "shell_session.py"


class Block(NamedTuple):
    """One example: its kind and its text."""

    kind: str
    text: str


def blocks() -> Iterator[Block]:
    """Give the tutorial's examples in their order."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2])


class Reader:
    """Somebody who does what the tutorial says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.queue = f"tutorial-{uuid.uuid4().hex[:12]}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
        }
        self.worker: subprocess.Popen[bytes] | None = None
        self.log = folder / "worker.log"
        self.session: list[str] = []

    def run(self, command: str, expected: str = "...") -> None:
        """Run a command, which prints what is shown; ``...`` stands for anything."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"{command}\n{printed}"
        assert fits(expected, printed), f"{command}\n{printed}"

    def write(self, text: str) -> str:
        """Write a file, or add to its end where its first line says so; return its name."""
        first, _, rest = text.partition("\n")
        name, _, where = first.removeprefix("# ").partition(", ")
        path = self.folder / name
        assert path.parent.is_dir(), path
        before = path.read_text() if where == "at the end" else ""
        # The reader's own server, and nobody else's messages.
        rest = rest.replace(REDIS, settings.REDIS_URL)
        if name == "config/settings.py":
            rest += f'\nCELERY_TASK_DEFAULT_QUEUE = "{self.queue}"\n'
        path.write_text(before + rest)
        return name

    def type(self, text: str) -> None:
        """Note what is typed into the shell that is open."""
        text = text.replace("countdown=10", "countdown=2")
        self.session.append(re.sub(r"timeout=\d+", f"timeout={SECONDS}", text))

    def leave_shell(self) -> None:
        """Run what was typed, in one shell, and compare its answers."""
        if not self.session:
            return
        (self.folder / "session.txt").write_text("\n".join(self.session))
        self.session.clear()
        shutil.copy(SESSION, self.folder / "session.py")
        self.run("python manage.py shell < session.py")

    def start_worker(self, command: str) -> None:
        """Start the worker in another terminal, and wait until it is ready."""
        with self.log.open("w") as log:
            self.worker = subprocess.Popen(
                command.split(), cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + SECONDS
        while " ready." not in self.log.read_text():
            assert self.worker.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop_worker(self) -> None:
        """Stop the worker, if one was started."""
        if self.worker is not None:
            self.worker.terminate()
            self.worker.wait(SECONDS)


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Give each command of a console block, and what it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def fits(expected: str, printed: str) -> bool:
    """Tell whether a program printed what is shown, where ``...`` stands for anything."""
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(tmp_path)
    yield found
    found.stop_worker()


def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    files, typed = [], 0

    for block in blocks():
        if block.kind == "python":
            reader.leave_shell()
            files.append(reader.write(block.text))
        elif block.kind == "pycon":
            typed += 1
            reader.type(block.text)
        elif block.kind == "text":
            assert fits(f"...{block.text.partition('...')[0]}...", reader.log.read_text())
        for command, expected in commands(block.text) if block.kind == "console" else ():
            if any(part in command for part in INSTALLATION):
                continue
            if command.startswith("cd "):
                reader.folder /= command.removeprefix("cd ")
            elif command.endswith("manage.py shell"):
                pass  # the lines that follow
            elif " worker" in command:
                reader.start_worker(command)
            else:
                reader.leave_shell()
                reader.run(command, expected or "...")

    assert files == [
        "config/celery.py",
        "config/__init__.py",
        "config/settings.py",
        "shop/models.py",
        "shop/tests.py",
    ]
    assert typed > 8
