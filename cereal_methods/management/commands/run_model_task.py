"""``manage.py run_model_task``: sends a method for many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery.signals import after_task_publish
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...exceptions import BulkInterrupted, CerealError, ResultsNotKept
from ...sending.bulk import Bulk
from ..method_tasks import find
from ..options import (
    add_message_arguments,
    add_row_arguments,
    add_waiting_arguments,
    json_of,
    timeout_of,
)
from ..report import INTERRUPTED, Report, in_one_line, interrupted, keys_of, number_of
from ..selection import Selection

if TYPE_CHECKING:
    from ...results.bulk import BulkResult

#: How many keys a dry run lists.
_KEYS: Final = 10

_PROGRESS: Final = "To see its progress: manage.py bulk_result {}"
_NOT_KEPT: Final = (
    "Results are not kept, because the task ignores them or the app has no result backend."
)

#: Options of the command that are passed to ``apply_async``.
_PASSED_ON: Final = ("queue", "countdown", "priority")


class Command(BaseCommand):
    """Sends a method for rows, and optionally waits for them.

    It sends at once, also methods with ``on_commit``, because a command has no transaction.
    """

    help = (
        "Sends a method for rows of its model, like Model.method.bulk_apply_async. Exits with 0 "
        "if the rows were sent and, with --wait, all succeeded, with 1 if some failed or are "
        "missing or an argument is wrong, 124 if --timeout is over, and 130 if it is interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        parser.add_argument(
            "name",
            metavar="app_label.Model.method",
            help="The method, or the name of its Celery task. manage.py model_tasks lists them.",
        )
        add_row_arguments(parser)
        add_message_arguments(parser)
        add_waiting_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Send the rows."""
        timeout = timeout_of(options)
        model, task, label = find(options["name"])
        selection = Selection(model, options)
        bulk = _bulk(label, model, task, selection, options)
        is_eager = task.app.conf.task_always_eager
        if options["wait"] and not options["dry_run"] and not is_eager:
            _need_results(bulk)
        total = selection.count()
        if options["dry_run"]:
            self._write_plan(label, bulk, selection, total, options)
            return
        if total == 0:
            if options["verbosity"] >= 1:
                self.stdout.write(f"No rows of {model._meta.label} match. Nothing was sent.")
            return
        report = Report(self, options["verbosity"])
        self._send(report, label, bulk, total)
        result = bulk.result
        counts = None
        try:
            is_kept = not is_eager and _keep(result)
            self._write_sent(label, result, options)
            if is_eager:  # the rows have run already
                counts = result.counts()
            elif options["wait"]:
                counts = report.wait(result, timeout)
            elif options["verbosity"] >= 1:
                self.stdout.write(_PROGRESS.format(result.id) if is_kept else _NOT_KEPT)
        except KeyboardInterrupt as error:  # wait() handles its own
            raise interrupted(result) from error
        if counts is not None:
            report.write(result, counts)

    def _send(self, report: Report, label: str, bulk: Bulk, total: int) -> None:
        """Send. Raises ``CommandError``, with the bulk's id if some rows were sent."""
        result = bulk.result
        with report.progress("Sending", total) as progress:

            def show(**_: Any) -> None:
                progress.update(result.total)

            after_task_publish.connect(show, sender=bulk.task.name, weak=False)
            try:
                bulk.send()
                progress.update(result.total)
            except KeyboardInterrupt as error:
                # The broker may have received one more message.
                raise _stopped(
                    label,
                    bulk,
                    total,
                    "Interrupted",
                    " and perhaps for one more message",
                    INTERRUPTED,
                ) from error
            except BulkInterrupted as error:
                cause = error.__cause__ or error
                raise _stopped(label, bulk, total, in_one_line(cause), "") from error
            except Exception as error:
                raise CommandError(f"Nothing was sent: {in_one_line(error)}") from error
            finally:
                after_task_publish.disconnect(show, sender=bulk.task.name)

    def _write_sent(self, label: str, result: BulkResult, options: dict[str, Any]) -> None:
        if options["verbosity"] < 1:
            if not options["wait"]:
                self.stdout.write(result.id)
            return
        self.stdout.write(
            f"{label} was sent for {number_of(result.total, 'row')} in "
            f"{number_of(result.messages, 'message')}: bulk {result.id}."
        )
        self.stdout.flush()  # before a wait that may be long

    def _write_plan(
        self, label: str, bulk: Bulk, selection: Selection, total: int, options: dict[str, Any]
    ) -> None:
        messages = -(-total // bulk.result.batch_size)
        self.stdout.write(
            f"{label} would be sent for {number_of(total, 'row')} in "
            f"{number_of(messages, 'message')}. Nothing was sent."
        )
        if total and options["verbosity"] >= 1:
            keys = keys_of(selection.first_keys(_KEYS))
            more = f" and {total - _KEYS:,} more" if total > _KEYS else ""
            self.stdout.write(f"Keys: {keys}{more}")


def _bulk(label: str, model: Any, task: Any, selection: Selection, options: dict[str, Any]) -> Bulk:
    args = json_of("--args", options["method_args"], list)
    kwargs = json_of("--kwargs", options["method_kwargs"], dict)
    passed = {name: options[name] for name in _PASSED_ON if options[name] is not None}
    try:
        return Bulk(task, model, selection.rows, args, kwargs, options["batch_size"], passed)
    except (CerealError, ValueError) as error:
        raise CommandError(str(error)) from error
    except TypeError as error:
        raise CommandError(f"{label} cannot be sent: {error}.") from error


def _stopped(
    label: str, bulk: Bulk, total: int, why: str, more: str, status: int = 1
) -> CommandError:
    """Save the result of the rows that were sent, and return the error that reports them."""
    result, progress = bulk.result, ""
    if not bulk.task.app.conf.task_always_eager and _keep(result):
        progress = f" {_PROGRESS.format(result.id)}"
    return CommandError(
        f"{why}. {label} was sent for {result.total:,} of {number_of(total, 'row')}{more}: "
        f"bulk {result.id}.{progress}",
        returncode=status,
    )


def _need_results(bulk: Bulk) -> None:
    try:
        bulk.result.ready()
    except ResultsNotKept as error:
        raise CommandError(f"--wait is not possible, so nothing was sent. {error}") from error


def _keep(result: BulkResult) -> bool:
    """Save the result for ``bulk_result``; return False if results are not kept."""
    try:
        result.save()
    except ResultsNotKept:
        return False
    except Exception as error:
        raise CommandError(
            f"The bulk {result.id} of {number_of(result.total, 'row')} was sent, but the result "
            f"backend could not save it: {in_one_line(error)}"
        ) from error
    return True
