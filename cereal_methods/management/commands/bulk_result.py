"""``manage.py bulk_result``: the progress and failures of a bulk."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...exceptions import ResultsNotKept
from ...results.bulk import BulkResult
from ...results.counts import Counts
from ..options import add_waiting_arguments, timeout_of
from ..report import Report, in_one_line


class Command(BaseCommand):
    """Shows the progress of a bulk and its failures, by the bulk's id."""

    help = (
        "Shows the progress and the failures of a bulk that run_model_task has sent. Exits with 1 "
        "if rows failed or are missing, 124 if --timeout is over, and 130 if it is interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        parser.add_argument("id", help="The bulk's id, which run_model_task prints.")
        add_waiting_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Show the bulk."""
        timeout = timeout_of(options)
        result = _restored(options["id"])
        report = Report(self, options["verbosity"])
        counts = report.wait(result, timeout) if options["wait"] else _counts(result)
        report.write(result, counts)


def _restored(bulk_id: str) -> BulkResult:
    try:
        BulkResult(bulk_id).ready()  # raises ResultsNotKept without a backend
        result = BulkResult.restore(bulk_id)
    except ResultsNotKept as error:
        raise CommandError(str(error)) from error
    except (TypeError, ValueError):
        result = None  # the id is that of something else, such as a task
    except Exception as error:
        raise CommandError(
            f"The bulk {bulk_id} could not be read from the result backend: {in_one_line(error)}"
        ) from error
    if result is None:
        raise CommandError(
            f"The result backend does not have the bulk {bulk_id}. The id is wrong, or the result "
            "has expired."
        )
    return result


def _counts(result: BulkResult) -> Counts:
    try:
        return result.counts() or Counts(result.total)
    except Exception as error:
        raise CommandError(
            f"The bulk {result.id} could not be read from the result backend: {in_one_line(error)}"
        ) from error
