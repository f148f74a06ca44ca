"""Bulks whose workers are killed while their result backend is away: nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings

from tests.celery import app
from tests.servers import Server
from tests.worker.workers import Worker

from . import ledger
from .models import Parcel
from .sessions import wait_for
from .test_workers import kill, processes

ROWS, BATCH, BAD = 20_000, 200, 397
SECONDS = 400

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def results(broker: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A result backend that may be stopped, here and in workers."""
    before = settings.CELERY_RESULT_BACKEND
    settings.CELERY_RESULT_BACKEND = app.conf.result_backend = broker.url
    app._local.__dict__.pop("backend", None)
    yield broker
    settings.CELERY_RESULT_BACKEND = app.conf.result_backend = before
    app._local.__dict__.pop("backend", None)


@pytest.mark.long
@pytest.mark.parametrize("away", [0, 30, 60])
def test_nothing_is_lost_or_counted_twice(
    start: Callable[..., Worker],
    postgres: Server,
    rabbitmq: Server,
    results: Server,
    away: int,
) -> None:
    worker = start("prefork", BROKER_URL=rabbitmq.url, RESULT_BACKEND=results.url)
    rows = Parcel.objects.bulk_create(
        Parcel(weight=-1 if place % BAD == 0 else 1) for place in range(ROWS)
    )
    bad = [row.pk for row in rows if row.weight < 0]
    kills = 0

    with app.connection_for_write(rabbitmq.url) as connection:
        result = Parcel.tick.bulk_apply_async(
            [row.pk for row in rows], batch_size=BATCH, connection=connection
        )
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(result.wait(timeout=SECONDS)))
    waiting.start()
    for count in (ROWS // 10, ROWS // 4, ROWS // 3):
        wait_for(lambda count=count: len(ledger.begun()) >= count, "rows", SECONDS)
        kill(*processes(worker))
        kills += 1
    if away:
        results.stop()
        time.sleep(away)
        results.start()
    wait_for(lambda: len(ledger.begun()) >= ROWS // 2, "rows", SECONDS)
    children = processes(worker)
    kill(worker.pid, *children)
    kills += 1
    worker.process.wait()
    worker.__enter__()

    waiting.join(SECONDS)
    (counts,) = found
    assert (counts.total, counts.succeeded, counts.failed) == (ROWS, ROWS - len(bad), len(bad))
    assert sorted(failure.key for failure in result.failures()) == bad
    begun = ledger.begun()
    assert begun.keys() == {str(row.pk) for row in rows}
    again = [key for key, times in begun.items() if times > 1]
    # No more than the rows that were running as their processes were killed.
    assert len(again) <= kills * 4, again
