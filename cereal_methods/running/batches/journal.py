"""A batch's journal: its progress in a local file, written row by row.

The file survives the process, and another process of the host continues where it ends. For other
hosts the same text goes to the result backend once a second; see ``progress``.

Each line is an event: ``>7`` when row 7 starts, ``=value`` when it has returned, ``~`` if it runs
again in another message, ``!`` and a list if it has no result, ``.`` when the batch's
outcome is in the result backend.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Final

from .events import Events
from .folder import path_of

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Journal:
    """The journal of a batch that this process runs.

    If the file cannot be written, the batch runs without it. A durable batch in one transaction
    has none (``is_kept=False``): it runs again as a whole.
    """

    def __init__(self, batch_id: str, *, is_kept: bool = True) -> None:
        self.id = batch_id
        self._is_kept = is_kept
        #: The lines of the rows that have ended.
        self.lines: list[str] = []
        #: Whether lines are held back until the transaction of all rows is committed.
        self.is_held = False
        self._file: int | None = None
        self._pending = ""

    def open(self) -> Events:
        """Open the file, and return the events that another process has left in it.

        Waits while another process of this host runs the batch: brokers may deliver it twice.
        """
        path = path_of(self.id) if self._is_kept else None
        if path is None:
            return Events()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _NO_LINKS, 0o600)
            _lock(self._file)
            events = Events.read(_content(self._file)) if os.fstat(self._file).st_size else Events()
        except (OSError, ValueError):  # the disk is full, or the file system has no locks
            self.close()
            return Events()
        self.lines = list(events.lines)
        return events

    def continue_from(self, events: Events) -> None:
        """Write the lines of rows that have ended on another host."""
        self.lines = list(events.lines)
        self._write("".join(f"{line}\n" for line in self.lines))

    def start(self, position: int) -> None:
        """Write that a row starts, after the lines that wait for it."""
        self._write(f"{self._pending}>{position}\n")
        self._pending = ""

    def end(self, line: str, *, at_once: bool) -> None:
        """Write that a row has ended: at once, or together with the start of the next row."""
        self.lines.append(line)
        if self.is_held:
            return
        self._pending += f"{line}\n"
        if at_once:
            self.flush()

    def release(self) -> None:
        """Write the lines that were held back: the transaction of all rows is committed."""
        self.is_held = False
        self._pending = "".join(f"{line}\n" for line in self.lines)
        self.flush()

    def flush(self) -> None:
        """Write the lines that wait for the start of the next row."""
        self._write(self._pending)
        self._pending = ""

    def text(self) -> str:
        """Return the lines of the rows that have ended, as they are in the file."""
        return "".join(f"{line}\n" for line in list(self.lines)) if not self.is_held else ""

    def close(self) -> None:
        """Close the file, without removing it."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _write(self, text: str) -> None:
        if self._file is not None and text:
            try:
                os.write(self._file, text.encode())
            except OSError:  # the disk is full
                self.close()


def read(batch_id: str) -> Events:
    """Return the events in a batch's journal, if this host has one."""
    path = path_of(batch_id)
    try:
        return Events.read(path.read_text()) if path is not None else Events()
    except (OSError, ValueError):
        return Events()


def mark_recorded(batch_id: str) -> None:
    """Write that the batch's outcome is in the result backend: it does not have to be continued."""
    path = path_of(batch_id)
    if path is not None:
        with suppress(OSError), path.open("a") as file:
            file.write(".\n")


def remove(batch_id: str) -> None:
    """Remove a batch's journal, if there is one."""
    path = path_of(batch_id)
    if path is not None:
        with suppress(OSError):
            path.unlink()


def _lock(file: int) -> None:
    while fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.2)


def _content(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as content:
        return content.read().decode(errors="replace")
