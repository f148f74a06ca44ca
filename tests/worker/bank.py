"""What the tests of durable tasks share: accounts, their records, and deliveries by hand."""

from __future__ import annotations

import json
import time
import uuid
from io import StringIO
from typing import Any

from django.core.management import call_command

from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account
from tests.celery import app

from .workers import Worker

#: Seconds to wait for a result.
SECONDS = 30

#: A relay that looks often.
RELAY = {"TEST_RECORDS_INTERVAL": "0.2"}


def amounts(account: Account) -> list[int]:
    """Return the effects of an account's tasks."""
    return sorted(account.entries.values_list("amount", flat=True))


def ended(
    task_id: str, state: str = State.DONE, seconds: float = SECONDS, using: str = "default"
) -> TaskRecord:
    """Wait until a record has a state, and return it."""
    until = time.monotonic() + seconds
    while True:
        record = TaskRecord.objects.using(using).filter(pk=task_id).first()
        if record is not None and record.state == state:
            return record
        assert time.monotonic() < until, f"{record!r} {record and record.error}"
        time.sleep(0.05)


def again(
    task_id: str,
    method: str,
    account: Account,
    args: tuple[Any, ...],
    headers: dict[str, Any] | None = None,
) -> None:
    """Send a message of a task once more, by its name."""
    name = getattr(account, method).name
    app.send_task(name, args, {"this": account.pk}, task_id=task_id, headers=headers)


def wait_for_duplicate(worker: Worker, task_id: str, text: str = "was delivered again") -> None:
    """Wait until a worker has said that a delivery does not run."""
    worker.wait_for_log(f"[{task_id}] {text}")


def resend() -> None:
    """Send again what has not ended, as after a broker has lost its messages."""
    call_command("task_records", "resend", sent_for=0, database="default", stdout=StringIO())


def take_from(queue: str) -> list[dict[str, Any]]:
    """Take the raw messages out of a queue of Redis."""
    with app.connection_for_write() as broker:
        client = broker.default_channel.client
        found = []
        while (raw := client.rpop(queue)) is not None:
            found.append(json.loads(raw))
        return found


def put_into(queue: str, message: dict[str, Any], *, redelivered: bool = False) -> None:
    """Put a raw message into a queue of Redis, as a broker does that delivers it once more."""
    headers = {**message["headers"], **({"redelivered": True} if redelivered else {})}
    info = {**message["properties"]["delivery_info"], "redelivered": redelivered}
    properties = {
        **message["properties"],
        "delivery_info": info,
        "delivery_tag": str(uuid.uuid4()),
    }
    raw = json.dumps({**message, "headers": headers, "properties": properties})
    with app.connection_for_write() as broker:
        broker.default_channel.client.lpush(queue, raw)


def wait_until_idle(worker: Worker) -> None:
    """Wait until a worker has nothing to do, and has had nothing a moment ago."""
    inspect = app.control.inspect([worker.name], timeout=5)
    with app.connection_for_write() as broker:
        client = broker.default_channel.client

        def is_idle() -> bool:
            if client.llen(worker.queue):
                return False
            found = inspect.reserved() or {}, inspect.active() or {}
            return all(each.get(worker.name) == [] for each in found)

        worker.wait_for(lambda: is_idle() and is_idle(), "the worker to be idle")
