"""Brokers that are restarted while messages are in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.celery import app
from tests.worker.workers import Worker

from . import ledger
from .conftest import every_pool
from .models import Parcel
from .servers import Postgres, RabbitMQ, Redis
from .sessions import wait_for
from .test_connections import make

TASKS = 60
SECONDS = 150


@pytest.fixture
def parcel(postgres: Postgres) -> Parcel:
    """A parcel."""
    return make("default")


def send(method: Any, url: str, count: int) -> list[AsyncResult[Any]]:
    """Send a method's messages to a broker."""
    with app.connection_for_write(url) as connection:
        return [method.apply_async([0.05], connection=connection) for _ in range(count)]


def check(results: list[AsyncResult[Any]], parcel: Parcel) -> None:
    """All have ended well."""
    assert [result.get(timeout=SECONDS) for result in results] == [parcel.pk] * len(results)
    assert ledger.ended().keys() == {result.id for result in results}


@pytest.mark.long
@every_pool()
def test_a_redis_that_keeps_its_data_loses_no_message(
    start: Callable[..., Worker], broker: Redis, parcel: Parcel, pool: str
) -> None:
    start(pool, BROKER_URL=broker.url, BROKER_TRANSPORT_OPTIONS={"visibility_timeout": 3})

    results = send(parcel.handle_late, broker.url, TASKS)
    wait_for(lambda: len(ledger.ended()) >= 3, "the first tasks", SECONDS)
    broker.restart()
    assert len(ledger.ended()) < TASKS
    results += send(parcel.handle_late, broker.url, 5)

    check(results, parcel)


@pytest.mark.long
@every_pool()
def test_a_rabbitmq_that_is_restarted_loses_no_message(
    start: Callable[..., Worker], rabbitmq: RabbitMQ, parcel: Parcel, pool: str
) -> None:
    start(pool, BROKER_URL=rabbitmq.url)

    results = send(parcel.handle_late, rabbitmq.url, TASKS)
    wait_for(lambda: len(ledger.ended()) >= 3, "the first tasks", SECONDS)
    rabbitmq.restart()
    assert len(ledger.ended()) < TASKS
    results += send(parcel.handle_late, rabbitmq.url, 5)

    check(results, parcel)
