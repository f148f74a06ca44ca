"""The tasks that follow a durable task are sent, whatever dies between its commit and that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import chain, chord, group

from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account
from tests.celery import app

from .bank import RELAY, SECONDS, amounts, ended, put_into, resend, take_from, wait_until_idle
from .workers import Worker


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Worker:
    return start_worker("--pool=solo", **RELAY)


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="A")


def kept() -> set[str]:
    """Return the ids of the records that keep their messages."""
    return set(TaskRecord.objects.exclude(envelope="").values_list("pk", flat=True))


@pytest.mark.parametrize("canvas", ["chain", "link", "chord"])
def test_a_message_is_kept_until_what_follows_is_sent(
    worker: Worker, account: Account, canvas: str
) -> None:
    steps: dict[str, Callable[[], Any]] = {
        "chain": lambda: chain(account.charge.s(1), account.add.s(1)).delay(),
        "link": lambda: account.charge.apply_async((1,), link=account.add.s(1)),
        "chord": lambda: chord([account.charge.s(1)], account.collect.s()).delay(),
    }
    steps[canvas]()
    worker.wait_for(lambda: len(amounts(account)) == 2, "both")
    wait_until_idle(worker)
    assert kept() == set()


@pytest.mark.parametrize("canvas", ["chain", "link", "group"])
def test_what_follows_is_sent_again_after_the_worker_and_the_messages_have_gone(
    worker: Worker, start_worker: Callable[..., Worker], account: Account, canvas: str
) -> None:
    dying = start_worker("--pool=prefork", "--concurrency=1")
    first = account.die_after.s(1).set(queue=dying.queue)
    follows = {
        "chain": account.add.s(10),
        "link": account.add.s(10),
        "group": group(account.add.s(10), account.add.s(20)),
    }[canvas]
    if canvas == "link":
        result = first.apply_async(link=follows)
    else:
        result = chain(first, follows).delay()
        while result.parent is not None:
            result = result.parent
    dying.process.wait(SECONDS)
    assert ended(result.id).state == State.DONE
    assert kept() == {result.id}
    take_from(dying.queue)

    app.control.add_consumer(dying.queue, destination=[worker.name], reply=True)
    resend()
    effects = [1, 11, 21] if canvas == "group" else [1, 11]
    worker.wait_for(lambda: amounts(account) == effects, "what follows")
    wait_until_idle(worker)
    assert kept() == set()
    resend()
    wait_until_idle(worker)
    assert amounts(account) == effects


def test_a_message_that_is_sent_again_needlessly_is_removed(
    worker: Worker, account: Account, nowhere: str
) -> None:
    """The worker died after it had stored the result, and before it removed the message."""
    result = chain(account.charge.s(1).set(queue=nowhere), account.add.s(1)).delay()
    records = TaskRecord.objects.filter(pk=result.parent.id)
    before = records.values("envelope", "body").get()
    (message,) = take_from(nowhere)
    put_into(worker.queue, message)
    assert result.get(timeout=SECONDS) == 2
    wait_until_idle(worker)
    records.update(**before)
    resend()
    (message,) = take_from(nowhere)
    put_into(worker.queue, message)
    worker.wait_for(lambda: kept() == set(), "the message to be removed")
    assert amounts(account) == [1, 2]
