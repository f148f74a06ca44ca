"""``manage.py bulk_result``: what became of the rows of a bulk that was sent before."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...counts import Counts
from ...exceptions import ResultsNotKept
from ...tallies import BulkResult
from ..report import Report, in_one_line


class Command(BaseCommand):
    """Shows, by its id, how far a bulk is and which rows failed."""

    help = (
        "Shows how far a bulk is that run_model_task has sent, and which rows failed. Exits with "
        "1 if rows failed or are missing; with 124 if it timed out, 130 if it was interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        parser.add_argument("id", help="The bulk's id, which run_model_task has printed.")
        add_waiting_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show it."""
        timeout = timeout_of(options)
        result = _restored(options["id"])
        report = Report(self, options["verbosity"])
        counts = report.wait(result, timeout) if options["wait"] else _counts(result)
        report.tell(result, counts)


def add_waiting_arguments(parser: CommandParser) -> None:
    """Add the options for waiting."""
    parser.add_argument(
        "--wait", action="store_true", help="Wait until every row is completed, and show progress."
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="How long to wait, with --wait."
    )


def timeout_of(options: dict[str, Any]) -> float | None:
    """Return for how many seconds to wait. Raises ``CommandError`` without --wait."""
    timeout: float | None = options["timeout"]
    if timeout is not None and not options["wait"]:
        raise CommandError("--timeout is for waiting: use it with --wait.")
    if timeout is not None and not timeout >= 0:
        raise CommandError(f"--timeout {timeout:g}: it must be a number of seconds, 0 or more.")
    return timeout


def _restored(given: str) -> BulkResult:
    try:
        BulkResult(given).ready()  # is there a backend?
        result = BulkResult.restore(given)
    except ResultsNotKept as error:
        raise CommandError(str(error)) from error
    except (TypeError, ValueError):
        result = None  # what is kept there is something else, as a task's result
    except Exception as error:
        raise CommandError(
            f"The bulk {given} could not be looked up in the result backend: {in_one_line(error)}"
        ) from error
    if result is None:
        raise CommandError(
            f"The result backend has no bulk {given}: the id is another, or its result has expired."
        )
    return result


def _counts(result: BulkResult) -> Counts:
    try:
        return result.counts() or Counts(result.total)
    except Exception as error:
        raise CommandError(
            f"The bulk {result.id} could not be looked up in the result backend: "
            f"{in_one_line(error)}"
        ) from error
