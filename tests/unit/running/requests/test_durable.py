"""What the consumer does with messages of durable tasks that end outside their function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals
from celery.states import PENDING

from cereal_methods.results.messages import CRASHES, ENDED
from cereal_methods.running.durability import DIVIDED
from tests.celery import app

from .deliveries import Delivery, deliver, info_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

Sent = Callable[[], list[Any]]


@pytest.fixture
def delivery(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    """A message of a durable method, in a consumer that has received it."""
    delivery = deliver(sent, "a", batch_size=1)
    target = replace(delivery.task.target, is_durable=True)
    monkeypatch.setattr(delivery.task, "target", target)
    return delivery


def test_a_task_whose_process_has_died_is_sent_again(delivery: Delivery, sent: Sent) -> None:
    delivery.request.on_failure(info_of(WorkerLostError("killed")))

    (message,) = sent()
    assert (message.headers["id"], message.headers[CRASHES]) == (delivery.id, 1)
    assert delivery.is_acknowledged


def test_a_task_whose_state_was_not_stored_is_sent_for_later(
    delivery: Delivery, sent: Sent
) -> None:
    delivery.request.on_failure(info_of(ConnectionError("unavailable")))

    (message,) = sent()
    assert message.headers["id"] == delivery.id
    assert message.headers["eta"] is not None
    assert delivery.is_acknowledged
    assert app.backend.get_task_meta(delivery.id, cache=False)["status"] == PENDING


def test_a_hard_time_limit_ends_the_record_once(delivery: Delivery, sent: Sent) -> None:
    delivery.request.on_timeout(False, 5)
    delivery.request.on_failure(info_of(TimeLimitExceeded(5)))

    (message,) = sent()
    assert message.headers["id"] == delivery.id
    ended_in, reason = message.headers[ENDED]
    assert ended_in == "failed"
    assert reason.startswith("TimeLimitExceeded: ")


def test_a_time_limit_that_does_not_acknowledge_leaves_the_record(
    delivery: Delivery, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acks_on_failure_or_timeout", "acks_on_timeout"):  # since Celery 5.7: the latter
        monkeypatch.setattr(delivery.task, name, False, raising=False)

    delivery.request.on_timeout(False, 5)

    assert sent() == []


@pytest.fixture
def batch(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    """A message of a durable batch, in a consumer that has received it."""
    delivery = deliver(sent, "a", "b")
    target = replace(delivery.task.target, is_durable=True)
    monkeypatch.setattr(delivery.task, "target", target)
    return delivery


def test_a_batch_whose_process_has_died_is_sent_again_as_a_whole(
    batch: Delivery, sent: Sent
) -> None:
    batch.keep('>0\n="a"\n>1\n')

    batch.request.on_failure(info_of(WorkerLostError("killed")))

    (message,) = sent()
    assert (message.headers["id"], message.headers[CRASHES]) == (batch.id, 1)
    assert batch.is_acknowledged


def test_a_batch_that_reaches_a_hard_time_limit_is_to_be_divided(
    batch: Delivery, sent: Sent
) -> None:
    batch.request.on_timeout(False, 5)
    batch.request.on_failure(info_of(TimeLimitExceeded(5)))

    (message,) = sent()
    assert (message.headers["id"], message.headers[CRASHES]) == (batch.id, DIVIDED)
    assert ENDED not in message.headers
    assert batch.is_acknowledged


def test_a_batch_whose_time_limit_does_not_acknowledge_is_left_to_the_broker(
    batch: Delivery, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acks_on_failure_or_timeout", "acks_on_timeout"):
        monkeypatch.setattr(batch.task, name, False, raising=False)

    batch.request.on_timeout(False, 5)

    assert sent() == []


def test_a_batch_whose_outcome_was_not_stored_keeps_its_record(batch: Delivery, sent: Sent) -> None:
    signals.task_internal_error.send(
        sender=batch.task,
        task_id=batch.id,
        args=batch.request.args,
        kwargs=batch.request.kwargs,
        request=batch.request.request_dict,
    )

    assert sent() == []
    assert app.backend.get_task_meta(batch.id, cache=False)["status"] == PENDING
