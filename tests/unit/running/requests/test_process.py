"""Processes of the pool, which the consumer inspects and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from cereal_methods.running.requests import process
from cereal_methods.running.requests.process import is_running, kill, wait_for_end


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that sleeps."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_killed(child: subprocess.Popen[bytes]) -> None:
    assert is_running(child.pid)

    kill(child.pid)

    assert not is_running(child.pid)  # a zombie, because its parent has not waited for it
    assert child.wait() == -signal.SIGKILL


def test_a_process_that_has_ended_is_not_killed(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()

    with mock.patch("os.kill") as killed:
        kill(child.pid)

    killed.assert_not_called()


def test_a_process_that_has_just_ended_raises_no_error(child: subprocess.Popen[bytes]) -> None:
    with (
        mock.patch("os.kill", side_effect=ProcessLookupError) as killed,
        mock.patch.object(process, "_MAX_WAIT", 0.0),
    ):
        kill(child.pid)

    killed.assert_called_once_with(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("pid", [None, 0, os.getpid()], ids=["none", "zero", "own"])
def test_the_consumer_does_not_kill_itself(pid: int | None) -> None:
    with mock.patch("os.kill") as killed:
        kill(pid)

    killed.assert_not_called()


def test_a_system_without_sigkill_kills_nothing(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(signal, "SIGKILL")
        kill(child.pid)

    assert is_running(child.pid)


def test_the_consumer_waits_briefly_for_the_end_of_a_process(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_MAX_WAIT", 0.05)
    before = time.monotonic()

    wait_for_end(child.pid)
    wait_for_end(None)

    assert is_running(child.pid)
    assert 0.05 <= time.monotonic() - before < 5


@pytest.mark.parametrize("error", [None, ProcessLookupError])
def test_a_system_without_proc_is_asked_by_signal(error: type[OSError] | None) -> None:
    with (
        mock.patch.object(Path, "read_text", side_effect=FileNotFoundError),
        mock.patch.object(Path, "exists", return_value=False),
        mock.patch("os.kill", side_effect=error) as killed,
    ):
        assert is_running(5) is (error is None)

    killed.assert_called_once_with(5, 0)
