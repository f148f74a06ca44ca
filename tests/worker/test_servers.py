"""The servers of the tests' own: that they end with the tests, and say what is missing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers import HOST, VARIABLE, Server, url

from .conftest import need

SECONDS = 20


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes that start a Redis, with a keeper of their own."""
    started = []

    def start(**environment: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.servers", "redis"],
                env={**inherited, "TMPDIR": str(tmp_path), **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_server_and_its_folder_end_with_the_process_that_needed_them(
    end: signal.Signals, run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = run()
    assert process.stdout is not None
    told = re.fullmatch(r"export TEST_REDIS_URL=(\S+)\n", process.stdout.readline())
    assert told
    port = urlsplit(told[1]).port
    assert port is not None
    assert listens(port)
    assert [path.name[:15] for path in tmp_path.iterdir()] == ["cereal-servers-"]

    process.send_signal(end)
    process.wait(SECONDS)

    deadline = time.monotonic() + SECONDS
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []
    assert not listens(port)


def test_a_missing_program_is_named(
    run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    _, error = run(PATH=str(tmp_path)).communicate(timeout=SECONDS)

    assert error == (
        "Redis is not installed: the program redis-server is missing. "
        "Install it, on Debian with the package redis-server.\n"
    )


@pytest.mark.parametrize(
    ("in_ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_a_missing_server_skips_a_test_and_fails_it_in_ci(
    in_ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", in_ci)
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]

        with pytest.raises(outcome, match=rf"^No redis server answers at {HOST}:{port}: "):
            need(f"redis://{HOST}:{port}/0")


def test_the_environment_names_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_REDIS_URL", raising=False)
    assert url("redis") == Server("redis").url

    monkeypatch.setenv("TEST_REDIS_URL", "redis://elsewhere/3")
    assert url("redis") == "redis://elsewhere/3"
