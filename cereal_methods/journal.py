"""How far a batch is, in a local file: written row by row, so that it survives the process.

Another process of the host goes on exactly where the file ends. Once a second the same text
goes to the result backend, for other hosts; see ``progress``.

A file has one line an event: ``>7`` before row 7 begins, ``=value`` with what it
returned, ``~`` if it goes on under an id of its own, ``!`` and a list if it has no result; ``.``
where somebody has been told of all of it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from .outcomes import Outcome

try:
    import fcntl
except ImportError:  # pragma: no cover  (Windows)
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("cereal_methods")

#: Files of batches that nobody went on with are removed after so many seconds.
_KEPT: Final = 7 * 24 * 3600

#: What an id must look like to name a file.
_NAME: Final = re.compile(r"[\w-]{1,100}\Z")


@dataclass(slots=True)
class Events:
    """What a journal tells: the rows that have ended, and the one that had begun."""

    lines: list[str] = field(default_factory=list)
    begun: int | None = None
    crashes: int = 0
    is_told: bool = False

    @classmethod
    def read(cls, text: str) -> Events:
        """Read a journal as far as it is whole."""
        found = cls()
        for line in text.split("\n")[:-1]:  # the last was cut off, or is empty
            if line.startswith(">"):
                position = int(line[1:])
                found.crashes = found.crashes + 1 if position == found.begun else 1
                found.begun = position
            elif line.startswith(("=", "!", "~")):
                found.lines.append(line)
                found.begun, found.crashes = None, 0
            elif line == ".":
                found.is_told = True
        return found

    def outcome(self, rows: int, decode: Callable[[Any], Any]) -> Outcome:
        """Return the outcome of the rows that have ended, of ``rows`` in all."""
        outcome = Outcome(rows)
        for line in self.lines:
            if line == "~":
                outcome.add_retried()
            elif line.startswith("="):
                outcome.add_result(_decoded(line[1:], decode))
            else:
                kind, key, text, raised = json.loads(line[1:])
                position = len(outcome.results)
                getattr(outcome, kind).append([position, key, text])
                if raised is not None:
                    outcome.raised.append([position, decode(raised)])
                outcome.results.append(None)
        return outcome


def _decoded(text: str, decode: Callable[[Any], Any]) -> Any:
    try:
        return decode(json.loads(text))
    except Exception:  # the row that it names is gone, say
        logger.warning("What a row of a batch has returned cannot be read again.", exc_info=True)
        return None


class Journal:
    """The file of one batch that this process runs."""

    def __init__(self, batch_id: str) -> None:
        self.id = batch_id
        #: Lines of the rows that have ended.
        self.lines: list[str] = []
        self._file: int | None = None
        self._pending = ""
        #: Whether lines wait for the commit of the transaction that all rows are in.
        self.is_held = False

    def open(self) -> Events:
        """Open the file, and return what another process has left in it."""
        path = path_of(self.id)
        if path is None:
            return Events()
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _NO_LINKS, 0o600)
            _lock(self._file)
            events = Events.read(_content(self._file)) if os.fstat(self._file).st_size else Events()
        except (OSError, ValueError):
            # There is no room, or no locks: go on without.
            self.close()
            return Events()
        self.lines = list(events.lines)
        return events

    def take_over(self, events: Events) -> None:
        """Start from what another host has recorded."""
        self.lines = list(events.lines)
        self._write("".join(f"{line}\n" for line in self.lines))

    def begin(self, position: int) -> None:
        """Write that a row begins, with what has ended before it."""
        self._write(f"{self._pending}>{position}\n")
        self._pending = ""

    def end(self, line: str, *, at_once: bool) -> None:
        """Write that the row has ended: at once, or together with the beginning of the next."""
        self.lines.append(line)
        if self.is_held:
            return
        self._pending += f"{line}\n"
        if at_once:
            self.flush()

    def release(self) -> None:
        """Write what was held back: the transaction of all rows is committed."""
        self.is_held = False
        self._pending = "".join(f"{line}\n" for line in self.lines)
        self.flush()

    def flush(self) -> None:
        """Write what has ended."""
        self._write(self._pending)
        self._pending = ""

    def text(self) -> str:
        """Return the lines of the rows that have ended, as for a file."""
        return "".join(f"{line}\n" for line in list(self.lines)) if not self.is_held else ""

    def _write(self, text: str) -> None:
        if self._file is not None and text:
            try:
                os.write(self._file, text.encode())
            except OSError:  # no room: rows are no less run for it
                self.close()

    def close(self) -> None:
        """Close the file, and leave it."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None


_NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def read(batch_id: str) -> Events:
    """Return what the journal of a batch tells, if this host has one."""
    path = path_of(batch_id)
    try:
        return Events.read(path.read_text()) if path is not None else Events()
    except (OSError, ValueError):
        return Events()


def tell(batch_id: str) -> None:
    """Write into a batch's file that others have been told, and there is nothing to go on with."""
    path = path_of(batch_id)
    if path is not None:
        with suppress(OSError), path.open("a") as file:
            file.write(".\n")


def remove(batch_id: str) -> None:
    """Remove a batch's file, if there is one: its outcome is recorded."""
    path = path_of(batch_id)
    if path is not None:
        with suppress(OSError):
            path.unlink()


def path_of(batch_id: str) -> Path | None:
    """Return the path of a batch's file, or None where no file can be kept."""
    folder = _folder()
    return folder / batch_id if folder is not None and _NAME.match(batch_id) else None


@cache
def _folder() -> Path | None:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"cereal_methods-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        others = stat.S_IRWXG | stat.S_IRWXO
        is_own = not hasattr(os, "getuid") or (found.st_uid == user and not found.st_mode & others)
        if not (stat.S_ISDIR(found.st_mode) and is_own):
            logger.warning("%s is not this user's alone: batches keep nothing there.", folder)
            return None
        _purge(folder)
    except OSError as error:
        logger.warning("Batches keep no record of how far they are in %s: %s", folder, error)
        return None
    return folder


def _purge(folder: Path) -> None:
    before = time.time() - _KEPT
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()


def _lock(file: int) -> None:
    """Lock a file, once nobody else runs the batch: a broker may deliver it twice meanwhile."""
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
