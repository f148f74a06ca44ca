"""Messages of durable tasks that a worker cannot run: their records are kept, and say why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account
from tests.celery import app

from .bank import RELAY, amounts, ended, put_into, resend, take_from
from .workers import Worker

POOLS = {
    "prefork": ("--pool=prefork", "--concurrency=1"),
    "threads": ("--pool=threads", "--concurrency=2"),
    "solo": ("--pool=solo",),
}


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="A")


@pytest.fixture(scope="module")
def stranger(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker that was started with another key, and has no relay."""
    found = start_worker(*POOLS["prefork"], TEST_SIGNING_KEY="another")
    yield found
    found.__exit__()


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker], stranger: Worker) -> Iterator[Worker]:
    """The same worker, with the right key: it consumes the same queue, when that is asked of it."""
    found = start_worker(*POOLS["prefork"], **RELAY)
    app.control.add_consumer(stranger.queue, destination=[found.name], reply=True)
    app.control.cancel_consumer(stranger.queue, destination=[found.name], reply=True)
    yield found
    found.__exit__()


def noted(worker: Worker, task_id: str) -> TaskRecord:
    """Wait until a record has a note, and return it."""

    def find() -> TaskRecord | None:
        return TaskRecord.objects.filter(pk=task_id).exclude(error="").first()

    found: TaskRecord = worker.wait_for(find, "a note on the record")
    return found


def test_a_key_that_has_gone_is_noted_and_the_task_runs_once_with_the_right_one(
    worker: Worker, stranger: Worker, route: Callable[[Worker], None], account: Account
) -> None:
    route(stranger)
    result = account.charge.delay(5)
    record = noted(stranger, result.id)
    assert record.state == State.SENT
    assert record.error.startswith(
        "SignatureMismatch: The signature of a cereal-pickle message does not match"
    )
    assert "\n" not in record.error
    told = StringIO()
    call_command("task_records", "list", database="default", stdout=told)
    assert "SignatureMismatch: The signature" in told.getvalue()
    assert amounts(account) == []

    app.control.cancel_consumer(stranger.queue, destination=[stranger.name], reply=True)
    app.control.add_consumer(stranger.queue, destination=[worker.name], reply=True)
    resend()
    record = ended(result.id)
    assert (record.error, record.attempts) == ("", 1)
    assert amounts(account) == [5]


@pytest.fixture(scope="module", params=POOLS)
def any_pool(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Iterator[Any]:
    """A worker of each pool, whose consumer has to ask the pool for the database."""
    found = start_worker(*POOLS[request.param])
    yield found
    found.__exit__()


@pytest.fixture
def message(
    any_pool: Worker, nowhere: str, account: Account, route: Callable[[Worker], None]
) -> Iterator[dict[str, Any]]:
    """The message of a task that was sent, and that no worker has yet."""
    before = settings.CELERY_TASK_DEFAULT_QUEUE
    settings.CELERY_TASK_DEFAULT_QUEUE = app.conf.task_default_queue = nowhere
    app.amqp.__dict__.pop("queues", None)
    app.amqp.__dict__.pop("router", None)
    account.charge.delay(6)
    (found,) = take_from(nowhere)
    yield found
    settings.CELERY_TASK_DEFAULT_QUEUE = app.conf.task_default_queue = before


def test_a_task_that_the_worker_does_not_know_is_noted(
    any_pool: Worker, message: dict[str, Any]
) -> None:
    task_id = message["headers"]["id"]
    TaskRecord.objects.filter(pk=task_id).update(task="bank.gone")
    message["headers"]["task"] = "bank.gone"
    put_into(any_pool.queue, message)
    record = noted(any_pool, task_id)
    assert record.state == State.SENT
    assert record.error == (
        f"The worker {any_pool.name} does not know the task. If its method was renamed, give it "
        "its former name with aliases=; then send this record again with task_records resend."
    )


def test_a_message_that_cannot_be_decoded_is_noted(
    any_pool: Worker, message: dict[str, Any]
) -> None:
    put_into(any_pool.queue, {**message, "content-type": "application/x-unknown"})
    record = noted(any_pool, message["headers"]["id"])
    assert record.state == State.SENT
    assert record.error.startswith(f"The worker {any_pool.name} refused it: InvalidMessage: ")


def test_a_forged_message_changes_nothing_but_the_error_of_a_record(
    any_pool: Worker, message: dict[str, Any], account: Account
) -> None:
    before = TaskRecord.objects.values().get(pk=message["headers"]["id"])
    for place in (["default", 7], ["default"], ["nowhere", 0], {"a": 1}, "default", [None, None]):
        forged = {**message, "headers": {**message["headers"], "cereal_record": place}}
        put_into(any_pool.queue, {**forged, "content-type": "application/x-unknown"})
    done = TaskRecord.objects.create(id="done", task=message["headers"]["task"], state="done")
    unread = {**message, "content-type": "application/x-unknown"}
    put_into(any_pool.queue, {**unread, "headers": {**message["headers"], "id": done.pk}})
    put_into(any_pool.queue, {**message, "body": "AAAA"})
    record = noted(any_pool, before["id"])
    assert "this process reads version 1" in record.error
    after = TaskRecord.objects.values().get(pk=record.pk)
    assert {name for name in after if after[name] != before[name]} == {"error"}
    assert len(record.error) <= 1000
    done.refresh_from_db()
    assert done.error == ""
    assert amounts(account) == []


@pytest.mark.parametrize("any_pool", ["prefork"], indirect=True)
def test_the_consumer_of_a_prefork_worker_opens_no_connection(
    any_pool: Worker, message: dict[str, Any]
) -> None:
    put_into(any_pool.queue, {**message, "content-type": "application/x-unknown"})
    noted(any_pool, message["headers"]["id"])
    assert int(settings.DATABASES["default"]["PORT"]) not in ports_of(any_pool.pid)


def ports_of(pid: int) -> set[int]:
    """Return the ports to which a process is connected."""
    links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(line[2].partition(":")[2], 16) for line in lines if line[9] in sockets}
