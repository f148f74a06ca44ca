"""Waiting for a bulk, and writing its numbers and failures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import TimeoutError as CeleryTimeoutError
from django.core.management.base import BaseCommand, CommandError

from .progress import HINT, Progress, needs_tqdm

if TYPE_CHECKING:
    from ..results.bulk import BulkResult
    from ..results.counts import Counts, Failure

#: How many failures are listed without --verbosity 2.
LISTED: Final = 20

#: Exit statuses: those of timeout(1), and of shells for Ctrl-C.
TIMED_OUT: Final = 124
INTERRUPTED: Final = 130


class Report:
    """Writes about bulks to a command's output."""

    def __init__(self, command: BaseCommand, verbosity: int) -> None:
        self._command = command
        self._verbosity = verbosity

    def wait(self, result: BulkResult, timeout: float | None) -> Counts:
        """Wait until all rows are completed, and show the progress.

        Raises ``CommandError`` after ``timeout`` seconds, if the user interrupts it, or if the
        result backend fails. The bulk continues in any case.
        """
        try:
            if self._verbosity >= 1 and needs_tqdm(self._command.stderr):
                self._command.stdout.write(HINT)
            with self.progress("Running", result.total) as progress:
                return result.wait(timeout, on_progress=lambda counts: _show(progress, counts))
        except CeleryTimeoutError as error:
            text = f"Timed out: {error} {_continues(result)}"
            raise CommandError(text, returncode=TIMED_OUT) from error
        except KeyboardInterrupt as error:
            raise interrupted(result) from error
        except Exception as error:
            raise CommandError(
                f"Waiting for the bulk {result.id} failed: {in_one_line(error)}. "
                f"{_continues(result)}"
            ) from error

    def progress(self, what: str, total: int) -> Progress:
        """Return a progress that is shown in the command's output."""
        streams = self._command.stdout, self._command.stderr
        return Progress(what, total, *streams, is_quiet=self._verbosity < 1)

    def write(self, result: BulkResult, counts: Counts) -> None:
        """Write the numbers and the failures.

        Raises ``CommandError`` if rows failed or are missing.
        """
        wrong = counts.wrong
        if self._verbosity >= 1:
            self._write_numbers(counts)
            if wrong:
                self._write_failures(result.failures())
        if wrong:
            parts = [
                f"{number_of(number, 'row')} {what}"
                for number, what in (
                    (counts.failed, "failed"),
                    (counts.missing, "is missing" if counts.missing == 1 else "are missing"),
                    (counts.revoked, "was revoked" if counts.revoked == 1 else "were revoked"),
                    (counts.expired, "expired"),
                )
                if number
            ]
            raise CommandError(f"{' and '.join(parts)}, of {counts.total:,}: bulk {result.id}.")

    def _write_numbers(self, counts: Counts) -> None:
        style = self._command.style
        lines: list[tuple[str, int, Any]] = [
            ("Total", counts.total, None),
            ("Succeeded", counts.succeeded, style.SUCCESS),
            ("Failed", counts.failed, style.ERROR),
            ("Missing", counts.missing, style.ERROR),
        ]
        unusual: list[tuple[str, int, Any]] = [
            ("Ignored", counts.ignored, None),
            ("Revoked", counts.revoked, style.ERROR),
            ("Expired", counts.expired, style.ERROR),
        ]
        lines += [line for line in unusual if line[1]]
        if counts.completed < counts.total:
            lines.append(("Waiting", counts.total - counts.completed, None))
        width = len(f"{counts.total:,}")
        for name, number, colour in lines:
            line = f"{name:<9}  {number:>{width},}"
            self._command.stdout.write(line, colour if number else None)

    def _write_failures(self, failures: list[Failure]) -> None:
        listed = failures if self._verbosity >= 2 else failures[:LISTED]
        keys = ["?" if failure.key is None else str(failure.key) for failure in listed]
        width = max(map(len, ["Key", *keys]))
        self._command.stdout.write(f"\n{'Key':<{width}}  Error")
        for key, failure in zip(keys, listed, strict=True):
            self._command.stdout.write(f"{key:<{width}}  {printable(failure.error)}")
        if len(failures) > len(listed):
            more = len(failures) - len(listed)
            self._command.stdout.write(f"... and {more:,} more. --verbosity 2 lists them all.")


def interrupted(result: BulkResult) -> CommandError:
    """Return the error of a command that was interrupted after the bulk was sent."""
    return CommandError(f"Interrupted. {_continues(result)}", returncode=INTERRUPTED)


def number_of(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 row``, ``1,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def keys_of(keys: Iterable[Any]) -> str:
    """Return keys as a list in a sentence."""
    return ", ".join(str(key) for key in keys)


def in_one_line(error: BaseException) -> str:
    """Return an error's type and message on one line."""
    return printable(f"{type(error).__name__}: {error}")


def printable(text: str) -> str:
    """Return a text on one line, without control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _show(progress: Progress, counts: Counts) -> None:
    progress.update(
        counts.completed,
        failed=counts.failed,
        missing=counts.missing,
        ignored=counts.ignored,
        revoked=counts.revoked,
        expired=counts.expired,
    )


def _continues(result: BulkResult) -> str:
    return f"The bulk continues. To see its progress: manage.py bulk_result {result.id}"
