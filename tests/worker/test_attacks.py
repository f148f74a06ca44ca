"""Somebody who can write to the broker, and a worker that goes on."""

from __future__ import annotations

import bz2
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import group
from kombu.utils.uuid import uuid

from cereal_methods.exceptions import InvalidMessage
from tests.celery import app
from tests.shop.models import Order
from tests.unit.running.test_envelopes import WRONG

from .workers import Worker

SECONDS = 30
NAME = "tests.shop.tasks.plain"
NO_EMBED = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))


@pytest.fixture
def publish() -> Iterator[Callable[..., Any]]:
    """Send a body with any headers, as someone with access to the broker would."""
    with app.producer_or_acquire() as producer:

        def send(body: Any, content_type: str = "application/json", **headers: Any) -> Any:
            task_id = uuid()
            producer.publish(
                body if isinstance(body, (bytes, str)) else json.dumps(body),
                routing_key=app.conf.task_default_queue,
                content_type=content_type,
                content_encoding="utf-8",
                headers={"task": NAME, "id": task_id, "lang": "py", **headers},
            )
            return app.AsyncResult(task_id)

        yield send


def is_alive() -> bool:
    """Tell whether the worker goes on."""
    order = Order.objects.create()
    return order.ship.delay("dhl").get(timeout=SECONDS) == "shipped"


def test_no_header_of_a_wrong_type_ends_the_worker(
    worker: Worker, publish: Callable[..., Any]
) -> None:
    for headers in WRONG:
        publish([[], {}, NO_EMBED], **json.loads(json.dumps(headers)))
    publish([[], {}, NO_EMBED], task="unknown", id=["x"])
    publish([[], {}, NO_EMBED], task="unknown")

    assert is_alive()
    log = worker.log.read_text()
    assert log.count("fails before it starts: ") >= len(WRONG) + 1
    assert "Unrecoverable error" not in log
    assert worker.process.poll() is None


def test_a_message_of_protocol_1_with_a_list_for_an_id_does_not_end_the_worker(
    worker: Worker,
) -> None:
    body = {"task": NAME, "id": ["x"], "args": [], "kwargs": {}}
    with app.producer_or_acquire() as producer:
        producer.publish(body, routing_key=worker.queue, serializer="json")

    assert is_alive()
    assert "The message has no id." in worker.log.read_text()


def test_a_bomb_is_not_decompressed(worker: Worker, publish: Callable[..., Any]) -> None:
    bomb = bz2.compress(b"[" + b" " * 300_000_000 + b"[],{},null]")
    before = memory(worker.pid)

    result = publish(bomb, compression="application/x-bz2")

    with pytest.raises(InvalidMessage, match="which is refused: more than 200 times as many"):
        result.get(timeout=SECONDS)
    assert is_alive()
    assert memory(worker.pid) - before < 100_000_000


def memory(pid: int) -> int:
    """Return the most bytes that a process has had in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize("method", ["zlib", "bzip2", "lzma"])
def test_compressed_messages_run(worker: Worker, method: str) -> None:
    order = Order.objects.create()

    sent = order.trace.apply_async(("x" * 10_000,), compression=method)

    assert sent.get(timeout=SECONDS)[1] == "x" * 10_000


def test_an_unsigned_message_has_nothing_signed(
    worker: Worker, publish: Callable[..., Any]
) -> None:
    asked = {**NAMED, "options": {"serializer": "cereal-pickle"}}
    results = [
        publish([[], {}, {**NO_EMBED, "callbacks": [asked]}]),
        publish([[], {}, {**NO_EMBED, "chain": [asked]}], "application/x-cereal-json"),
        publish([[[asked], "result", "group", []], {}, NO_EMBED], task="celery.group"),
        publish([[[asked], asked], {}, NO_EMBED], task="celery.chord"),
    ]

    for result in results:
        with pytest.raises(InvalidMessage, match="is not signed, and embeds"):
            result.get(timeout=SECONDS)
    assert is_alive()


NAMED: dict[str, Any] = {"task": NAME, "args": [], "kwargs": {}, "subtask_type": None}


def test_a_canvas_that_is_signed_as_a_whole_runs(worker: Worker) -> None:
    orders = [Order.objects.create() for _ in range(2)]
    steps = [order.ship.si("dhl").set(serializer="cereal-pickle") for order in orders]

    assert group(steps).delay().get(timeout=SECONDS) == ["shipped", "shipped"]
    assert (steps[0] | steps[1]).delay().get(timeout=SECONDS) == "shipped"


@pytest.mark.parametrize("tries", [-1_000_000_000, True, "x", 1e300])
def test_a_fetch_that_somebody_else_counts_is_not_repeated_without_end(
    worker: Worker, publish: Callable[..., Any], tries: Any
) -> None:
    # Its row is never there: each attempt is put off.
    result = publish([[], {"this": 10**9}, NO_EMBED], task=WAITING, cereal_fetch_tries=tries)

    with pytest.raises(Order.DoesNotExist):
        result.get(timeout=SECONDS)


WAITING = "tests.shop.models.Order.ship_later"


def test_a_worker_does_not_start_with_an_empty_key(tmp_path: Path) -> None:
    worker = Worker(tmp_path, "--pool=solo", TEST_SECRET_KEY_FALLBACKS="former, ")
    command = [sys.executable, "-m", "celery", "-A", "tests", "worker", "-Q", worker.queue]

    done = subprocess.run(
        [*command, "--pool=solo"],
        env={**os.environ, **worker.environment},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert "SECRET_KEY_FALLBACKS: a key is empty, or is neither a string nor bytes." in done.stderr
    assert " ready." not in done.stdout + done.stderr
