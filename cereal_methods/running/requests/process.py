"""Processes of the worker's pool."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

#: How long to wait for the end of a process, in seconds.
_MAX_WAIT: Final = 0.5


def kill(pid: int | None) -> None:
    """Kill a process of the pool, so that it runs no further row.

    Celery would kill it too, but only after the message has ended.
    """
    if not pid or pid == os.getpid() or not hasattr(signal, "SIGKILL"):
        return
    if is_running(pid):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    wait_for_end(pid)


def wait_for_end(pid: int | None) -> None:
    """Wait a moment until a process has ended."""
    deadline = time.monotonic() + _MAX_WAIT
    while pid and is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.002)


def is_running(pid: int) -> bool:
    """Whether a process still runs. One that has ended is a zombie until its parent collects it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        pass
    if Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
