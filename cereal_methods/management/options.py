"""Options that several commands have, and the values in them."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections


def add_row_arguments(parser: CommandParser) -> None:
    """Add the options that select rows."""
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        dest="filters",
        metavar="FIELD=VALUE",
        help="Select rows that match, as in status=paid, total__gte=5 or pk__in=[1,2]. If "
        "repeated, rows must match all filters. A value that is valid JSON is parsed; put it in "
        "quotes ('\"5\"') to pass a string.",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        dest="excludes",
        metavar="FIELD=VALUE",
        help="Leave out rows that match. If repeated, rows that match any of them are left out.",
    )
    parser.add_argument(
        "--pk",
        action="append",
        default=[],
        dest="pks",
        metavar="KEY",
        help="Select the row with this primary key. May be repeated. A composite key is a JSON "
        "list.",
    )
    parser.add_argument("--all", action="store_true", dest="all_rows", help="Select every row.")
    parser.add_argument(
        "--database",
        choices=tuple(connections),
        metavar="ALIAS",
        help="The database to read the rows from. By default the one that the routers choose.",
    )


def add_message_arguments(parser: CommandParser) -> None:
    """Add the method's arguments, and the options of its messages."""
    # Django uses the name "args" itself.
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
        help="Rows in a message. By default each row is sent in its own message.",
    )
    parser.add_argument("--queue", help="The queue to send to, instead of the task's queue.")
    parser.add_argument(
        "--countdown",
        type=float,
        metavar="SECONDS",
        help="Run after this many seconds or later.",
    )
    parser.add_argument("--priority", type=int, help="The priority of the messages.")
    parser.add_argument(
        "--dry-run", action="store_true", help="Show what would be sent, but do not send it."
    )


def add_waiting_arguments(parser: CommandParser) -> None:
    """Add the options for waiting."""
    parser.add_argument(
        "--wait", action="store_true", help="Wait until all rows are completed, and show progress."
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="With --wait: how long to wait."
    )


def timeout_of(options: dict[str, Any]) -> float | None:
    """Return the timeout in seconds, or None. Raises ``CommandError`` without ``--wait``."""
    timeout: float | None = options["timeout"]
    if timeout is not None and not options["wait"]:
        raise CommandError("--timeout has no effect without --wait. Use both.")
    if timeout is not None and not timeout >= 0:
        raise CommandError(f"--timeout {timeout:g}: it must be a number of seconds, 0 or more.")
    return timeout


def json_of(option: str, value: Any, kind: type) -> Any:
    """Return the JSON value of an option, which must be a list or an object.

    ``call_command`` may pass a list or a dict directly. Raises ``CommandError`` for any other
    value.
    """
    text = value
    if isinstance(text, str):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise CommandError(f"{option} {text}: this is not valid JSON: {error}.") from error
    if not isinstance(value, kind):
        expected = "a list, as in '[\"dhl\"]'" if kind is list else "an object, as in '{\"a\": 1}'"
        raise CommandError(f"{option} {text}: it must be {expected}.")
    return value
