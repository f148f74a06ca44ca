"""What became of a bulk: waiting for it, and telling."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from celery.exceptions import TimeoutError as CeleryTimeoutError
from django.core.management.base import BaseCommand, CommandError

from .progress import HINT, Progress, lacks_bar

if TYPE_CHECKING:
    from ..counts import Counts, Failure
    from ..tallies import BulkResult

#: How many failures are shown, unless all are asked for.
SHOWN: Final = 20

#: Exit statuses beside 1: those of timeout(1), and of shells for Ctrl-C.
TIMED_OUT: Final = 124
INTERRUPTED: Final = 130


class Report:
    """Tells of bulks in a command's output."""

    def __init__(self, command: BaseCommand, verbosity: int) -> None:
        self._command = command
        self._verbosity = verbosity

    def wait(self, result: BulkResult, timeout: float | None) -> Counts:
        """Wait until every row is completed, showing the progress.

        Raises ``CommandError`` if that cannot be waited for, with a status of its own
        if it takes longer than ``timeout`` seconds or is interrupted: the bulk goes on.
        """
        try:
            if self._verbosity >= 1 and lacks_bar(self._command.stderr):
                self._command.stdout.write(HINT)
            with self.progress("Running", result.total) as progress:
                return result.wait(timeout, on_progress=lambda counts: _show(progress, counts))
        except CeleryTimeoutError as error:
            told = f"Timed out: {error} {_goes_on(result)}"
            raise CommandError(told, returncode=TIMED_OUT) from error
        except KeyboardInterrupt as error:
            raise interrupted(result) from error
        except Exception as error:
            raise CommandError(
                f"The bulk {result.id} could not be waited for: {in_one_line(error)} "
                f"{_goes_on(result)}"
            ) from error

    def progress(self, what: str, total: int) -> Progress:
        """Return the progress of something, in the command's output."""
        streams = self._command.stdout, self._command.stderr
        return Progress(what, total, *streams, is_quiet=self._verbosity < 1)

    def tell(self, result: BulkResult, counts: Counts) -> None:
        """Write the numbers and the failures.

        Raises ``CommandError`` if rows failed or are missing.
        """
        wrong = counts.wrong
        if self._verbosity >= 1:
            self._write_numbers(counts)
            if wrong:
                self._write_failures(result.failures())
        if wrong:
            found = [
                f"{number_of(number, 'row')} {what}"
                for number, what in (
                    (counts.failed, "failed"),
                    (counts.missing, "is missing" if counts.missing == 1 else "are missing"),
                    (counts.revoked, "was revoked" if counts.revoked == 1 else "were revoked"),
                    (counts.expired, "expired"),
                )
                if number
            ]
            raise CommandError(f"{' and '.join(found)}, of {counts.total:,}: bulk {result.id}.")

    def _write_numbers(self, counts: Counts) -> None:
        style = self._command.style
        lines: list[tuple[str, int, Any]] = [
            ("Total", counts.total, None),
            ("Succeeded", counts.succeeded, style.SUCCESS),
            ("Failed", counts.failed, style.ERROR),
            ("Missing", counts.missing, style.ERROR),
        ]
        more: list[tuple[str, int, Any]] = [
            ("Ignored", counts.ignored, None),
            ("Revoked", counts.revoked, style.ERROR),
            ("Expired", counts.expired, style.ERROR),
        ]
        lines += [line for line in more if line[1]]
        if counts.completed < counts.total:
            lines.append(("Waiting", counts.total - counts.completed, None))
        width = len(f"{counts.total:,}")
        for name, number, colour in lines:
            line = f"{name:<9}  {number:>{width},}"
            self._command.stdout.write(line, colour if number else None)

    def _write_failures(self, failures: list[Failure]) -> None:
        shown = failures if self._verbosity >= 2 else failures[:SHOWN]
        keys = ["?" if failure.key is None else str(failure.key) for failure in shown]
        width = max(map(len, ["Key", *keys]))
        self._command.stdout.write(f"\n{'Key':<{width}}  Error")
        for key, failure in zip(keys, shown, strict=True):
            self._command.stdout.write(f"{key:<{width}}  {printable(failure.error)}")
        if len(failures) > len(shown):
            more = len(failures) - len(shown)
            self._command.stdout.write(f"... and {more:,} more, shown by --verbosity 2.")


def interrupted(result: BulkResult) -> CommandError:
    """Return the error of a command that ended by Ctrl-C when the bulk was sent."""
    return CommandError(f"Interrupted. {_goes_on(result)}", returncode=INTERRUPTED)


def number_of(number: int, noun: str) -> str:
    """Return a number of things: ``1 row``, ``1,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def keys_of(keys: Iterable[Any]) -> str:
    """Return keys for a sentence."""
    return ", ".join(str(key) for key in keys)


def in_one_line(error: BaseException) -> str:
    """Return an error's type and message, in one line."""
    return printable(f"{type(error).__name__}: {error}")


def printable(text: str) -> str:
    """Return a text in one line, without what would change a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _show(progress: Progress, counts: Counts) -> None:
    progress.update(
        counts.completed,
        failed=counts.failed,
        missing=counts.missing,
        ignored=counts.ignored,
        revoked=counts.revoked,
        expired=counts.expired,
    )


def _goes_on(result: BulkResult) -> str:
    return f"The workers go on; to see how far: manage.py bulk_result {result.id}"
