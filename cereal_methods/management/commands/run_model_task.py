"""``manage.py run_model_task``: a method task, sent for many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery.signals import after_task_publish
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...bulk import Bulk
from ...exceptions import BulkInterrupted, CerealError, ResultsNotKept
from .. import selection
from ..method_tasks import find
from ..report import INTERRUPTED, Report, in_one_line, interrupted, keys_of, number_of
from ..selection import Selection, json_of
from .bulk_result import add_waiting_arguments, timeout_of

if TYPE_CHECKING:
    from ...tallies import BulkResult

#: How many keys a dry run shows.
_KEYS: Final = 10

_HOW_FAR: Final = "To see how far it is: manage.py bulk_result {}"
_NOT_KEPT: Final = "Its results are not kept: the task ignores them, or the app has no backend."

#: Options of the command that are those of ``apply_async``.
_PASSED_ON: Final = ("queue", "countdown", "priority")


class Command(BaseCommand):
    """Sends a method task for rows, and waits for them if it is asked to.

    It sends at once: a command is in no transaction that ``on_commit`` could wait for.
    """

    help = (
        "Sends a method task for rows of its model, as Model.method.bulk_apply_async does. Exits "
        "with 0 if the rows were sent and, with --wait, all succeeded; with 1 if some failed or "
        "are missing, or nothing was sent; with 124 if it timed out, 130 if it was interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        parser.add_argument(
            "name",
            metavar="app_label.Model.method",
            help="The method, or the name of its Celery task. manage.py model_tasks lists them.",
        )
        selection.add_arguments(parser)
        # Not as "args", which are Django's own.
        parser.add_argument(
            "--args",
            dest="method_args",
            default="[]",
            metavar="JSON",
            help="The method's arguments: a JSON list.",
        )
        parser.add_argument(
            "--kwargs",
            dest="method_kwargs",
            default="{}",
            metavar="JSON",
            help="The method's keyword arguments: a JSON object.",
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            metavar="ROWS",
            help="How many rows a message has. By default each row has a message of its own.",
        )
        parser.add_argument("--queue", help="The queue to send to, in place of the task's own.")
        parser.add_argument(
            "--countdown", type=float, metavar="SECONDS", help="Run in so many seconds, or later."
        )
        parser.add_argument("--priority", type=int, help="The messages' priority.")
        parser.add_argument(
            "--dry-run", action="store_true", help="Show what would be sent, and send nothing."
        )
        add_waiting_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Send the rows."""
        timeout = timeout_of(options)
        model, task, label = find(options["name"])
        chosen = Selection(model, options)
        bulk = _bulk(label, model, task, chosen, options)
        is_eager = task.app.conf.task_always_eager
        if options["wait"] and not options["dry_run"] and not is_eager:
            _need_results(bulk)
        total = chosen.count()
        if options["dry_run"]:
            self._tell_plan(label, bulk, chosen, total, options)
            return
        if total == 0:
            if options["verbosity"] >= 1:
                self.stdout.write(f"No row of {model._meta.label} matches. Nothing was sent.")
            return
        report = Report(self, options["verbosity"])
        self._send(report, label, bulk, total)
        result = bulk.result
        counts = None
        try:
            is_kept = not is_eager and _keep(result)
            self._tell_sent(label, result, options)
            if is_eager:  # what was sent has run
                counts = result.counts()
            elif options["wait"]:
                counts = report.wait(result, timeout)
            elif options["verbosity"] >= 1:
                self.stdout.write(_HOW_FAR.format(result.id) if is_kept else _NOT_KEPT)
        except KeyboardInterrupt as error:  # before the wait, which has its own
            raise interrupted(result) from error
        if counts is not None:
            report.tell(result, counts)

    def _send(self, report: Report, label: str, bulk: Bulk, total: int) -> None:
        """Send, or raise ``CommandError`` with the bulk's id if that ended after some rows."""
        result = bulk.result
        with report.progress("Sending", total) as progress:

            def show(**_: Any) -> None:
                progress.update(result.total)

            after_task_publish.connect(show, sender=bulk.task.name, weak=False)
            try:
                bulk.send()
                progress.update(result.total)
            except KeyboardInterrupt as error:
                # The message that was on its way may have left.
                raise _stopped(
                    label,
                    bulk,
                    total,
                    "Interrupted",
                    "and perhaps for another message",
                    INTERRUPTED,
                ) from error
            except BulkInterrupted as error:
                cause = error.__cause__ or error
                raise _stopped(label, bulk, total, in_one_line(cause), "and no more") from error
            except Exception as error:
                raise CommandError(f"Nothing was sent: {in_one_line(error)}") from error
            finally:
                after_task_publish.disconnect(show, sender=bulk.task.name)

    def _tell_sent(self, label: str, result: BulkResult, options: dict[str, Any]) -> None:
        if options["verbosity"] < 1:
            if not options["wait"]:
                self.stdout.write(result.id)
            return
        self.stdout.write(
            f"{label} is sent for {number_of(result.total, 'row')} in "
            f"{number_of(result.messages, 'message')}: bulk {result.id}."
        )
        self.stdout.flush()  # before a wait, of which the end is not known

    def _tell_plan(
        self, label: str, bulk: Bulk, chosen: Selection, total: int, options: dict[str, Any]
    ) -> None:
        messages = -(-total // bulk.result.batch_size)
        self.stdout.write(
            f"{label} would be sent for {number_of(total, 'row')} in "
            f"{number_of(messages, 'message')}. Nothing was sent."
        )
        if total and options["verbosity"] >= 1:
            keys = keys_of(chosen.first(_KEYS))
            more = f" and {total - _KEYS:,} more" if total > _KEYS else ""
            self.stdout.write(f"Keys: {keys}{more}")


def _bulk(label: str, model: Any, task: Any, chosen: Selection, options: dict[str, Any]) -> Bulk:
    args = json_of("--args", options["method_args"], list)
    kwargs = json_of("--kwargs", options["method_kwargs"], dict)
    passed = {name: options[name] for name in _PASSED_ON if options[name] is not None}
    try:
        return Bulk(task, model, chosen.rows, args, kwargs, options["batch_size"], passed)
    except (CerealError, ValueError) as error:
        raise CommandError(str(error)) from error
    except TypeError as error:
        raise CommandError(f"{label} cannot be sent: {error}.") from error


def _stopped(
    label: str, bulk: Bulk, total: int, why: str, more: str, status: int = 1
) -> CommandError:
    """Return the error that tells how far the sending came, having saved that."""
    result, kept = bulk.result, ""
    if not bulk.task.app.conf.task_always_eager and _keep(result):
        kept = f" {_HOW_FAR.format(result.id)}"
    return CommandError(
        f"{why}. {label} was sent for {result.total:,} of {number_of(total, 'row')}, {more}: "
        f"bulk {result.id}.{kept}",
        returncode=status,
    )


def _need_results(bulk: Bulk) -> None:
    try:
        bulk.result.ready()
    except ResultsNotKept as error:
        raise CommandError(f"--wait cannot wait, so nothing was sent. {error}") from error


def _keep(result: BulkResult) -> bool:
    """Save what ``bulk_result`` needs; tell whether there is something that keeps it."""
    try:
        result.save()
    except ResultsNotKept:
        return False
    except Exception as error:
        raise CommandError(
            f"The bulk {result.id} of {number_of(result.total, 'row')} was sent, and could not be "
            f"saved in the result backend: {in_one_line(error)}"
        ) from error
    return True
