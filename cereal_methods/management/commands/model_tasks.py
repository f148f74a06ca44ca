"""``manage.py model_tasks``: the methods that are Celery tasks, and how they are sent."""

from __future__ import annotations

import json
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from ..method_tasks import MethodTask, method_tasks, narrow

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
    """Lists method tasks, as a table or in JSON."""

    help = "Lists the methods that are Celery tasks, and how they are sent."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the command's options."""
        parser.add_argument(
            "names",
            nargs="*",
            metavar="app_label[.Model]",
            help="Only those of these apps and models.",
        )
        parser.add_argument("--format", choices=("table", "json"), default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        """List them."""
        found = method_tasks()
        if options["names"]:
            found = narrow(options["names"], found)
        if options["format"] == "json":
            self.stdout.write(json.dumps([_as_dict(each) for each in found], indent=2, default=str))
        elif found:
            self._write_table([_HEADINGS, *(_as_row(each) for each in found)])
        else:
            self.stdout.write("No method is a task there.")

    def _write_table(self, rows: list[tuple[str, ...]]) -> None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            line = "  ".join(cells).rstrip()
            self.stdout.write(line, self.style.MIGRATE_HEADING if number == 0 else None)


def _as_row(each: MethodTask) -> tuple[str, ...]:
    return (
        each.label,
        each.task.name,
        each.runs_on,
        each.task.serializer,
        each.queue or "?",
        ", ".join(_policies(each)) or "-",
        ", ".join(each.aliases) or "-",
        each.description or "-",
    )


def _policies(each: MethodTask) -> list[str]:
    """Return what differs from the defaults."""
    found = _as_dict(each)
    told = []
    if found["on_missing"] != "raise":
        told.append(f"on_missing={found['on_missing']}")
    if found["on_commit"]:
        told.append("on_commit")
    lock = found["select_for_update"]
    if lock:
        options = "" if lock is True else f"({', '.join(name for name in lock if lock[name])})"
        told.append(f"select_for_update{options}")
    for name in ("select_related", "prefetch_related"):
        if found[name] is True:
            told.append(name)
        elif found[name]:
            told.append(f"{name}={'+'.join(found[name])}")
    if found["manager"]:
        told.append(f"manager={found['manager']}")
    return told


def _as_dict(each: MethodTask) -> dict[str, Any]:
    policy, task = each.policy, each.task
    on_missing: Any = policy.on_missing
    if callable(on_missing):
        on_missing = getattr(on_missing, "__qualname__", repr(on_missing))
    related = policy.select_related
    lock = policy.select_for_update
    return {
        "method": each.label,
        "task": task.name,
        "model": each.model._meta.label,
        "runs_on": each.runs_on,
        "serializer": task.serializer,
        "queue": each.queue,
        "on_missing": on_missing,
        "on_commit": each.on_commit,
        "select_for_update": False if lock is None else dict(lock) or True,
        "select_related": related if isinstance(related, bool) else list(related),
        "prefetch_related": [getattr(p, "prefetch_to", p) for p in policy.prefetch_related],
        "manager": policy.manager,
        "aliases": list(each.aliases),
        "description": each.description,
    }
