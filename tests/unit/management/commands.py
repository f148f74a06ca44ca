"""Running the commands of manage.py, and the messages that they send."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any, NamedTuple

from celery.states import SUCCESS
from django.core.management import call_command
from django.core.management.base import CommandError

from cereal_methods import BulkResult
from cereal_methods.results.ids import failure_record_id, message_id
from tests.celery import app
from tests.shop.models import Order

#: A bulk's id, in output and messages.
ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class Terminal(StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


class Done(NamedTuple):
    """What a command has written and exited with; ids of bulks are ``ID``."""

    status: int
    out: str
    error: str
    ids: list[str]


def run(*args: str, out: StringIO | None = None, err: StringIO | None = None) -> Done:
    out, err = out or StringIO(), err or StringIO()
    status, error = 0, ""
    try:
        call_command(*args, stdout=out, stderr=err)
    except CommandError as raised:
        status, error = raised.returncode, str(raised)
    ids = [match[0] for match in ID.finditer(out.getvalue() + error)]
    return Done(status, ID.sub("ID", out.getvalue()), ID.sub("ID", error), ids)


def send(name: str, *args: str, **streams: Any) -> Done:
    return run("run_model_task", name, *args, **streams)


def orders(many: int = 3, **fields: Any) -> list[Order]:
    return Order.objects.bulk_create(Order(number=str(i), **fields) for i in range(many))


def wire_in(message: Any) -> list[Any]:
    """Return the rows that a message is for, as it carries them."""
    this = message.decode()[1].with_references()["this"]
    wire: list[Any] = this.as_wire()
    return wire


def keys_in(messages: list[Any]) -> list[list[Any]]:
    """Return the keys of the rows in each message."""
    keys = []
    for message in messages:
        wire = wire_in(message)
        key = wire[1]
        keys.append(key if len(wire) == 4 else [key])  # of one row its reference
    return keys


def complete(result_id: str, **states: Any) -> None:
    """Store what a worker would have: success, or by a message's number an error."""
    result = BulkResult.restore(result_id)
    assert result is not None
    for number in range(result.messages):
        task_id = message_id(result_id, number)
        error = states.get(f"n{number}")
        if error is None:
            app.backend.store_result(task_id, None, SUCCESS)
        else:
            kind, key, exception = error
            text = f"{type(exception).__name__}: {exception}"
            app.backend.store_result(failure_record_id(task_id), [kind, [key], text], SUCCESS)
            app.backend.store_result(task_id, exception, "FAILURE")
