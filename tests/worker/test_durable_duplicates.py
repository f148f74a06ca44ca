"""Messages of durable tasks that arrive twice, however that comes: they run nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chain, chord, group

from cereal_methods.records.models import State, TaskRecord
from tests.bank.models import Account
from tests.celery import app

from .bank import (
    RELAY,
    SECONDS,
    amounts,
    ended,
    put_into,
    resend,
    take_from,
    wait_for_duplicate,
    wait_until_idle,
)
from .workers import Worker


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    found = start_worker("--pool=threads", "--concurrency=4", "--prefetch-multiplier=1", **RELAY)
    yield found
    found.__exit__()


@pytest.fixture
def account() -> Account:
    return Account.objects.create(name="A")


def sent(queue: str, bound: Any, *args: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Send a task to a queue that nobody consumes; return its result and its message."""
    result = bound.apply_async(args, queue=queue, **options)
    (message,) = take_from(queue)
    return result, message


@pytest.mark.parametrize("redelivered", [False, True])
@pytest.mark.parametrize("is_forgotten", [False, True])
def test_the_raw_message_comes_twice_more(
    worker: Worker, account: Account, nowhere: str, redelivered: bool, is_forgotten: bool
) -> None:
    result, message = sent(nowhere, account.charge, 3)
    put_into(worker.queue, message)
    assert result.get(timeout=SECONDS) == 3
    before = ended(result.id)
    if is_forgotten:  # as if its worker had died before it stored the result
        result.forget()
    for _ in range(2):
        put_into(worker.queue, message, redelivered=redelivered)
    wait_for_duplicate(worker, result.id)
    wait_until_idle(worker)
    assert result.get(timeout=SECONDS) == 3
    assert amounts(account) == [3]
    assert TaskRecord.objects.values().get() == {**vars_of(before), "id": result.id}


def vars_of(record: TaskRecord) -> dict[str, Any]:
    return {field.attname: getattr(record, field.attname) for field in record._meta.fields}


@pytest.mark.parametrize("redelivered", [False, True])
def test_the_raw_message_is_in_the_queue_many_times(
    worker: Worker, account: Account, nowhere: str, redelivered: bool
) -> None:
    """Several threads take them at once."""
    result, message = sent(nowhere, account.charge, 4)
    for _ in range(8):
        put_into(worker.queue, message, redelivered=redelivered)
    assert result.get(timeout=SECONDS) == 4
    wait_until_idle(worker)
    assert amounts(account) == [4]
    assert ended(result.id).attempts == 1


def test_a_message_is_sent_again_that_the_broker_still_has(
    worker: Worker, account: Account, nowhere: str
) -> None:
    result, message = sent(nowhere, account.charge, 5)
    messages = [message]
    for _ in range(2):
        resend()
        messages += worker.wait_for(lambda: take_from(nowhere), "the relay")
        worker.wait_for(lambda: TaskRecord.objects.sent().exists(), "the relay to say so")
    assert len(messages) == 3
    for each in messages:
        put_into(worker.queue, each)
    assert result.get(timeout=SECONDS) == 5
    wait_until_idle(worker)
    assert amounts(account) == [5]


@pytest.mark.parametrize("method", ["dawdle", "pay"])
def test_a_message_is_sent_again_while_it_runs(
    worker: Worker, account: Account, method: str
) -> None:
    result = getattr(account, method).delay(6, 1.5)
    worker.wait_for(worker.events, "the task to begin")
    resend()
    assert result.get(timeout=SECONDS) == 6
    wait_until_idle(worker)
    assert ended(result.id).attempts == 1
    assert amounts(account) == [6]


def test_a_failed_task_fails_again_without_a_run(
    worker: Worker, account: Account, nowhere: str
) -> None:
    result, message = sent(nowhere, account.reject, 7)
    put_into(worker.queue, message)
    ended(result.id, State.FAILED)
    result.forget()
    put_into(worker.queue, message)
    with pytest.raises(Exception, match="ValueError: 7 is too much"):
        result.get(timeout=SECONDS)
    assert ended(result.id, State.FAILED).attempts == 1


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_each_step_of_a_chain_comes_twice(
    worker: Worker, account: Account, nowhere: str, is_forgotten: bool
) -> None:
    steps = [account.charge.s(1), account.add.s(10), account.add.s(100)]
    result = chain(step.set(queue=nowhere) for step in steps).delay()
    parts = [result.parent.parent, result.parent, result]
    for part, value in zip(parts, [1, 11, 111], strict=True):
        (message,) = take_from(nowhere)
        put_into(worker.queue, message)
        assert part.get(timeout=SECONDS) == value
        ended(part.id)
        if is_forgotten:
            part.forget()
        put_into(worker.queue, message, redelivered=True)
        wait_for_duplicate(worker, part.id)
        wait_until_idle(worker)
        assert part.get(timeout=SECONDS) == value
        # The next step is sent again where it may not have been.
        following = take_from(nowhere)
        assert len({each["headers"]["id"] for each in following}) == (part is not result)
        for each in following[:1]:
            put_into(nowhere, each)
    assert amounts(account) == [1, 11, 111]


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_each_part_of_a_chord_comes_twice(
    worker: Worker, account: Account, nowhere: str, is_forgotten: bool
) -> None:
    parts = [account.charge.s(n).set(queue=nowhere) for n in range(1, 4)]
    result = chord(parts, account.collect.s()).delay()
    messages = take_from(nowhere)
    assert len(messages) == 3
    first, *others = messages
    put_into(worker.queue, first)
    part = app.AsyncResult(first["headers"]["id"])
    part.get(timeout=SECONDS)
    ended(part.id)
    if is_forgotten:
        part.forget()
    for message in (first, first, *others, *others):
        put_into(worker.queue, message, redelivered=True)
    assert result.get(timeout=SECONDS) == 6
    wait_until_idle(worker)
    for message in messages:  # after the body has run, too
        put_into(worker.queue, message)
    wait_until_idle(worker)
    assert amounts(account) == [1, 2, 3, 6]
    assert {record.attempts for record in TaskRecord.objects.all()} == {1}


def test_the_body_of_a_chord_comes_twice(worker: Worker, account: Account, nowhere: str) -> None:
    body = account.collect.s().set(queue=nowhere)
    result = chord([account.charge.s(n) for n in range(1, 4)], body).delay()
    worker.wait_for(lambda: TaskRecord.objects.filter(task=account.collect.name), "the body")
    messages: list[Any] = worker.wait_for(lambda: take_from(nowhere), "the body")
    for _ in range(2):
        put_into(worker.queue, messages[0])
    assert result.get(timeout=SECONDS) == 6
    wait_until_idle(worker)
    assert amounts(account) == [1, 2, 3, 6]


def links_of(account: Account) -> dict[str, Any]:
    charge, add = account.charge, account.add
    return {
        "one": add.s(10),
        "two": [add.s(10), charge.si(20)],
        "a chain": add.s(10) | add.s(100),
        "a group": group(add.s(10), charge.si(20)),
        "a chord": chord([charge.si(20), charge.si(30)], account.collect.s()),
    }


EFFECTS = {
    "one": [1, 11],
    "two": [1, 11, 20],
    "a chain": [1, 11, 111],
    "a group": [1, 11, 20],
    "a chord": [1, 20, 30, 50],
}


@pytest.mark.parametrize("is_forgotten", [False, True])
@pytest.mark.parametrize("link", EFFECTS)
def test_a_task_with_links_comes_twice(
    worker: Worker, account: Account, nowhere: str, link: str, is_forgotten: bool
) -> None:
    """The links of what was handed on are sent again, under the ids that they had."""
    result, message = sent(nowhere, account.charge, 1, link=links_of(account)[link])
    put_into(worker.queue, message)
    worker.wait_for(lambda: amounts(account) == EFFECTS[link], "the links")
    for _ in range(2):
        if is_forgotten:
            result.forget()
        put_into(worker.queue, message, redelivered=True)
        wait_until_idle(worker)
    assert amounts(account) == EFFECTS[link]
    assert TaskRecord.objects.count() == len(EFFECTS[link])


def test_a_link_itself_comes_twice(worker: Worker, account: Account, nowhere: str) -> None:
    account.charge.apply_async((1,), link=account.add.s(10).set(queue=nowhere))
    messages: list[Any] = worker.wait_for(lambda: take_from(nowhere), "the link")
    for message in messages * 3:
        put_into(worker.queue, message)
    worker.wait_for(lambda: TaskRecord.objects.done().count() == 2, "the link to run")
    wait_until_idle(worker)
    assert amounts(account) == [1, 11]


def test_a_failed_task_with_an_errback_comes_twice(
    worker: Worker, account: Account, nowhere: str
) -> None:
    """Its worker may have died before it sent the errback, so that is sent again."""
    result, message = sent(nowhere, account.reject, 7, link_error=account.regret.s())
    for _ in range(3):
        put_into(worker.queue, message, redelivered=True)
    worker.wait_for(lambda: TaskRecord.objects.done().exists(), "the errback")
    wait_until_idle(worker)
    assert amounts(account) == [-1]
    assert TaskRecord.objects.get(pk=result.id).retry()  # fails once more, which is told again
    message["headers"]["cereal_record"] = ["default", 1]
    put_into(worker.queue, message)
    worker.wait_for(lambda: TaskRecord.objects.done().count() == 2, "the errback")
    assert amounts(account) == [-1, -1]
