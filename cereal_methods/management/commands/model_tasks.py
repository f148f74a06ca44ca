"""``manage.py model_tasks``: a list of the methods that are Celery tasks."""

from __future__ import annotations

import json
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from ...django_api.models import prefetch_target
from ...sending.method_tasks import MethodTask, method_tasks
from ..method_tasks import narrow

_HEADINGS: Final = (
    "Method",
    "Task",
    "Runs on",
    "Serializer",
    "Queue",
    "Policies",
    "Aliases",
    "Description",
)


class Command(BaseCommand):
    """Lists method tasks as a table or as JSON."""

    help = "Lists the methods that are Celery tasks, with their options."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        parser.add_argument(
            "names",
            nargs="*",
            metavar="app_label[.Model]",
            help="List only the methods of these apps and models.",
        )
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        """List the method tasks."""
        tasks = method_tasks()
        if options["names"]:
            tasks = narrow(options["names"], tasks)
        if options["format"] == "json":
            self.stdout.write(json.dumps([_as_dict(task) for task in tasks], indent=2, default=str))
        elif tasks:
            self._write_table([_HEADINGS, *(_as_row(task) for task in tasks)])
        else:
            self.stdout.write("These models have no method tasks.")

    def _write_table(self, rows: list[tuple[str, ...]]) -> None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            line = "  ".join(cells).rstrip()
            self.stdout.write(line, self.style.MIGRATE_HEADING if number == 0 else None)


def _as_row(method: MethodTask) -> tuple[str, ...]:
    return (
        method.label,
        method.task.name,
        method.runs_on,
        method.task.serializer,
        method.queue or "?",
        ", ".join(_policies(method)) or "-",
        ", ".join(method.aliases) or "-",
        method.description or "-",
    )


def _policies(method: MethodTask) -> list[str]:
    """Return the options that differ from the defaults."""
    options = _as_dict(method)
    policies = []
    if options["on_missing"] != "raise":
        policies.append(f"on_missing={options['on_missing']}")
    if options["on_commit"]:
        policies.append("on_commit")
    lock = options["select_for_update"]
    if lock:
        names = "" if lock is True else f"({', '.join(name for name in lock if lock[name])})"
        policies.append(f"select_for_update{names}")
    for name in ("select_related", "prefetch_related"):
        if options[name] is True:
            policies.append(name)
        elif options[name]:
            policies.append(f"{name}={'+'.join(options[name])}")
    if options["manager"]:
        policies.append(f"manager={options['manager']}")
    return policies


def _as_dict(method: MethodTask) -> dict[str, Any]:
    policy, task = method.policy, method.task
    on_missing: Any = policy.on_missing
    if callable(on_missing):
        on_missing = getattr(on_missing, "__qualname__", repr(on_missing))
    related = policy.select_related
    lock = policy.select_for_update
    return {
        "method": method.label,
        "task": task.name,
        "model": method.model._meta.label,
        "runs_on": method.runs_on,
        "serializer": task.serializer,
        "queue": method.queue,
        "on_missing": on_missing,
        "on_commit": method.on_commit,
        "select_for_update": False if lock is None else dict(lock) or True,
        "select_related": related if isinstance(related, bool) else list(related),
        "prefetch_related": [prefetch_target(each) for each in policy.prefetch_related],
        "manager": policy.manager,
        "aliases": list(method.aliases),
        "description": method.description,
    }
