"""Brokers that are restarted while messages are in them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.celery import app
from tests.servers import Server
from tests.worker.workers import Worker

from . import ledger
from .conftest import every_pool
from .models import Parcel
from .sessions import wait_for
from .test_connections import make

TASKS = 60
SECONDS = 150

#: The pools that take more messages while others run.
GREEDY = ("threads", "gevent")


@pytest.fixture
def parcel(postgres: Server) -> Parcel:
    """A parcel."""
    return make("default")


def send(method: Any, url: str, count: int, seconds: float) -> list[AsyncResult[Any]]:
    """Send a method's messages to a broker."""
    with app.connection_for_write(url) as connection:
        return [method.apply_async([seconds], connection=connection) for _ in range(count)]


def check(results: list[AsyncResult[Any]], parcel: Parcel) -> None:
    """All have ended well."""
    assert [result.get(timeout=SECONDS) for result in results] == [parcel.pk] * len(results)
    assert ledger.ended().keys() == {result.id for result in results}


@pytest.mark.long
@every_pool()
def test_a_redis_that_keeps_its_data_loses_no_message(
    start: Callable[..., Worker], broker: Server, parcel: Parcel, pool: str
) -> None:
    start(pool, BROKER_URL=broker.url, BROKER_TRANSPORT_OPTIONS={"visibility_timeout": 3})

    results = send(parcel.handle_late, broker.url, TASKS // 3, 1)
    wait_for(lambda: len(ledger.begun()) >= 3, "the first tasks", SECONDS)
    # No message is on its way, which Redis might forget: all processes are busy, and the worker
    # has as many messages as it takes.
    time.sleep(0.3)
    broker.restart()
    assert len(ledger.ended()) < len(results)
    results += send(parcel.handle_late, broker.url, 5, 0)

    check(results, parcel)


@pytest.mark.long
@every_pool()
def test_a_rabbitmq_that_is_restarted_loses_no_message(
    start: Callable[..., Worker], rabbitmq: Server, parcel: Parcel, pool: str
) -> None:
    # After a restart Celery takes fewer messages for a while; off prefork, none in the end.
    goes_on = {"WORKER_ENABLE_PREFETCH_COUNT_REDUCTION": False} if pool in GREEDY else {}
    start(pool, BROKER_URL=rabbitmq.url, **goes_on)

    results = send(parcel.handle_late, rabbitmq.url, TASKS, 0.05)
    wait_for(lambda: len(ledger.ended()) >= 3, "the first tasks", SECONDS)
    rabbitmq.restart()
    assert len(ledger.ended()) < TASKS
    results += send(parcel.handle_late, rabbitmq.url, 5, 0.05)

    check(results, parcel)
