"""The progress of rows: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Self

try:
    from tqdm import tqdm
except ImportError:
    tqdm = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from django.core.management.base import OutputWrapper

#: The hint on a terminal without tqdm.
HINT: Final = "To get a progress bar: pip install 'django-cereal-methods[progress]'."

#: A line is written at each tenth of the rows, but at most once in this many seconds...
_SHORTEST: Final = 2.0
#: ... and at least once in this many seconds, if there is progress.
_LONGEST: Final = 60.0


def needs_tqdm(stderr: OutputWrapper) -> bool:
    """Whether there would be a bar if tqdm were installed."""
    return tqdm is None and stderr.isatty()


class Progress:
    """A bar on a terminal, if tqdm is installed; otherwise lines, but not for quick work."""

    def __init__(
        self,
        what: str,
        total: int,
        stdout: OutputWrapper,
        stderr: OutputWrapper,
        *,
        is_quiet: bool = False,
    ) -> None:
        self._what = what
        self._total = total
        self._stdout = None if is_quiet else stdout
        self._bar: Any = None
        self._tenths = 0
        self._line_at = time.monotonic()
        self._done = 0
        if stderr.isatty() and tqdm is not None and not is_quiet:
            self._bar = tqdm(
                total=total,
                desc=what,
                unit=" rows",
                file=_Raw(stderr),
                dynamic_ncols=True,
                miniters=1,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, done: int, **notes: int) -> None:
        """Show how many rows are done, and the notes that are not 0."""
        notes = {name: number for name, number in notes.items() if number}
        if self._bar is not None:
            self._bar.set_postfix(notes, refresh=False)
            self._bar.update(done - self._done)
        elif self._stdout is not None and self._is_due(done):
            self._write(self._stdout, done, notes)
        self._done = done

    def _is_due(self, done: int) -> bool:
        since = time.monotonic() - self._line_at
        is_further = done * 10 // max(self._total, 1) > self._tenths
        return (is_further and since >= _SHORTEST) or (done > self._done and since >= _LONGEST)

    def _write(self, stdout: OutputWrapper, done: int, notes: dict[str, int]) -> None:
        self._tenths, self._line_at = done * 10 // max(self._total, 1), time.monotonic()
        more = "".join(f", {number:,} {name}" for name, number in notes.items())
        percent = done * 100 // max(self._total, 1)
        stdout.write(f"{self._what}: {done:,} of {self._total:,} rows ({percent} %){more}")
        stdout.flush()


class _Raw:
    """A command's stream, without the line endings and colours that Django adds."""

    def __init__(self, stream: OutputWrapper) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text, str, ending="")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
