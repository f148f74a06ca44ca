"""``manage.py task_records``: lists, sends, retries and cancels durable tasks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error
from django.db.models import Count

from .... import conf
from ...databases import databases
from ...models import State, TaskRecord
from ...relay import Relay, resend
from ...service import run_relay

if TYPE_CHECKING:
    from ...querysets import TaskRecordQuerySet

#: The fields of a record that are listed.
_SHOWN: Final = ("id", "state", "task", "model", "row", "attempts", "created_at", "error")


class Command(BaseCommand):
    """Lists and changes durable tasks, on one database or on all that have records."""

    help = (
        "Lists durable tasks, counts them, retries or cancels them, deletes old ones (purge), "
        "sends what is due (send), and sends again what a broker has lost (resend)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        parser.add_argument("action", choices=list(_ACTIONS), nargs="?", default="list")
        parser.add_argument("ids", nargs="*", metavar="id", help="The ids of tasks.")
        parser.add_argument(
            "--database", help="The database. By default, all databases that have records."
        )
        parser.add_argument("--state", choices=State.values, help="Only tasks in this state.")
        parser.add_argument("--task", help="Only tasks of this name.")
        parser.add_argument(
            "--unsent",
            action="store_true",
            help="Only tasks that should have been sent a minute ago.",
        )
        parser.add_argument("--all", action="store_true", help="With retry or cancel: all tasks.")
        parser.add_argument("--limit", type=int, default=50, help="How many tasks to list.")
        parser.add_argument("--json", action="store_true", help="Write JSON, for programs.")
        parser.add_argument(
            "--watch", action="store_true", help="With send: continue until it is interrupted."
        )
        parser.add_argument(
            "--sent-for",
            type=float,
            metavar="SECONDS",
            help="With resend: tasks that were sent so many seconds ago and have not ended.",
        )
        parser.add_argument(
            "--older-than",
            type=float,
            metavar="DAYS",
            help="With purge: tasks that ended so many days ago. By default, RECORDS_KEEP.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand."""
        using = list(databases())
        if options["database"] is not None:
            if options["database"] not in using:
                raise CommandError(
                    f"{options['database']!r} is not a database that has records. They are on "
                    f"{', '.join(using)}."
                )
            using = [options["database"]]
        try:
            _ACTIONS[options["action"]](self, using, options)
        except Error as error:
            raise CommandError(f"The records cannot be read: {error}") from error

    def _list(self, using: list[str], options: dict[str, Any]) -> None:
        """List records, the newest first."""
        rows = [
            {**values, "database": alias, "created_at": values["created_at"].isoformat()}
            for alias, records in _selected(using, options)
            for values in records.order_by("-created_at").values(*_SHOWN)[: options["limit"]]
        ]
        if options["json"]:
            self.stdout.write(json.dumps(rows))
            return
        for values in rows:
            row = f" {values['model']} {values['row']}" if values["row"] else ""
            error = values["error"].partition("\n")[0]
            self.stdout.write(
                f"{values['id']} {values['state']:8} {values['created_at']:.19} {values['task']}"
                f"{row}{': ' if error else ''}{error}"
            )

    def _count(self, using: list[str], options: dict[str, Any]) -> None:
        """Count records by state; exit with 1 if some should have been sent a minute ago."""
        counts = dict.fromkeys(State.values, 0)
        unsent = 0
        for _, records in _selected(using, options):
            for state, number in records.order_by().values_list("state").annotate(Count("pk")):
                counts[state] += number
            unsent += records.unsent().count()
        if options["json"]:
            self.stdout.write(json.dumps({**counts, "unsent": unsent}))
        else:
            for state, number in counts.items():
                self.stdout.write(f"{state:9}{number:10,}")
        if unsent:
            raise CommandError(
                f"{_tasks(unsent)} should have been sent a minute ago. Check that the broker "
                "answers and that a worker is running."
            )

    def _retry(self, using: list[str], options: dict[str, Any]) -> None:
        """Send the messages of ended tasks again."""
        self._change("will run again", lambda records: records.retry(), using, options)

    def _cancel(self, using: list[str], options: dict[str, Any]) -> None:
        """Cancel tasks that have not started."""
        self._change("will not run", lambda records: records.cancel(), using, options)

    def _change(
        self,
        what: str,
        change: Callable[[TaskRecordQuerySet], int],
        using: list[str],
        options: dict[str, Any],
    ) -> None:
        chosen = options["ids"] or options["state"] or options["task"] or options["unsent"]
        if not (chosen or options["all"]):
            raise CommandError(
                "Give ids, --state, --task or --unsent, or give --all to select all tasks."
            )
        self._write_number(
            sum(change(records) for _, records in _selected(using, options)), what, options
        )

    def _purge(self, using: list[str], options: dict[str, Any]) -> None:
        """Delete records that ended long ago and have not failed."""
        days = conf.get("RECORDS_KEEP") if options["older_than"] is None else options["older_than"]
        age = timedelta(days=days)
        number = sum(records.purge(age) for _, records in _selected(using, options))
        self._write_number(number, "deleted", options)

    def _send(self, using: list[str], options: dict[str, Any]) -> None:
        """Send the messages that are due, once or until the command is interrupted."""
        app: Any = current_app
        if not options["watch"]:
            self._write_number(Relay(app, using).tick(), "sent", options)
            return
        stopped = threading.Event()
        try:
            run_relay(app, stopped, using=using)
        except KeyboardInterrupt:
            stopped.set()

    def _resend(self, using: list[str], options: dict[str, Any]) -> None:
        """Send messages again that a broker has lost."""
        if options["sent_for"] is None:
            raise CommandError(
                "Give --sent-for: how many seconds ago the tasks were sent, at least."
            )
        age = timedelta(seconds=options["sent_for"])
        self._write_number(sum(resend(alias, age) for alias in using), "sent again", options)

    def _write_number(self, number: int, what: str, options: dict[str, Any]) -> None:
        text = f"{_tasks(number)} {what}."
        self.stdout.write(json.dumps({"tasks": number}) if options["json"] else text)


def _tasks(number: int) -> str:
    return f"{number:,} task{'' if number == 1 else 's'}"


def _selected(
    using: list[str], options: dict[str, Any]
) -> Iterator[tuple[str, TaskRecordQuerySet]]:
    """Yield the records that the options select, by database."""
    for alias in using:
        records = TaskRecord.objects.using(alias).filter()
        if options["ids"]:
            records = records.filter(pk__in=options["ids"])
        if options["state"]:
            records = records.filter(state=options["state"])
        if options["task"]:
            records = records.filter(task=options["task"])
        if options["unsent"]:
            records = records.unsent()
        yield alias, records


_ACTIONS: Final[dict[str, Callable[[Command, list[str], dict[str, Any]], None]]] = {
    name: getattr(Command, f"_{name}")
    for name in ("list", "count", "retry", "cancel", "purge", "send", "resend")
}
