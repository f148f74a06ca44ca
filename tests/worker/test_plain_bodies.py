"""Messages and results without rows, which any program reads and writes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from kombu.serialization import dumps, registry
from kombu.utils.uuid import uuid

from tests.celery import app
from tests.shop.models import Document
from tests.shop.tasks import first_of, plain
from tests.unit.bodies import call_body

from .conftest import POOLS
from .workers import Worker

JSON = {"TEST_RESULT_SERIALIZER": "cereal-json", "TEST_TASK_SERIALIZER": "cereal-json"}


@pytest.fixture(scope="module", params=POOLS)
def json_worker(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Any:
    """A worker of each pool, with cereal-json for all tasks and results that name none."""
    found = start_worker(*POOLS[request.param], **JSON)
    yield found
    found.__exit__()


@pytest.fixture(autouse=True)
def to_json_worker(json_worker: Worker, route: Callable[[Worker], None]) -> None:
    """Send the messages of these tests there."""
    route(json_worker)


def row(worker: Worker, task_id: str, *, whole: bool = True) -> Any:
    """Return a task's record as a program reads it that knows nothing of Celery."""
    key = app.backend.get_key_for_task(task_id)
    text = worker.wait_for(lambda: app.backend.get(key), "a record")
    return json.loads(text) if whole else text


def publish(body: Any, serializer: str = "cereal-json", task: Any = plain) -> str:
    """Send a body as a program in another language would, and return the task's id.

    Nothing here waits for the result, which this process expects in another serializer.
    """
    task_id = uuid()
    with app.producer_or_acquire() as producer:
        producer.publish(
            body,
            routing_key=app.conf.task_default_queue,
            content_type=registry.name_to_type[serializer],
            content_encoding="binary" if serializer.endswith("msgpack") else "utf-8",
            headers={"task": task.name, "id": task_id},
            correlation_id=task_id,
        )
    return task_id


def test_a_result_without_rows_is_json(json_worker: Worker) -> None:
    body = dumps(call_body(["dhl", {"a": [1, None]}]), "cereal-json")[2]

    found = row(json_worker, publish(body))

    assert (found["status"], found["result"]) == ("SUCCESS", ["plain", "dhl", {"a": [1, None]}])


@pytest.mark.parametrize(
    ("serializer", "body"),
    [
        ("cereal-json", b'[["dhl"],{},{}]'),
        ("cereal-json", b'[\n  ["dhl"],\n  {},\n  null\n]'),
        ("cereal-yaml", b"[[dhl], {}, {}]"),
        ("cereal-msgpack", b"\x93\x91\xa3dhl\x80\xc0"),
    ],
)
def test_a_message_of_another_program_runs(
    json_worker: Worker, serializer: str, body: bytes
) -> None:
    found = row(json_worker, publish(body, serializer))

    assert (found["status"], found["result"]) == ("SUCCESS", ["plain", "dhl"])


def test_a_message_that_is_no_call_fails_and_the_worker_goes_on(json_worker: Worker) -> None:
    depths = [300, 850, 900, 940, 960, 5_000, 100_000]
    embed = b'{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'
    bad = [
        b"5", b"{}", b"[]", b'[["dhl"], {}]', b"[[", b'{"status": "SUCCESS", "args": []}',
        b'{"cereal": 1, "call": 2}', b'[["dhl"], {}, {"callbacks": ',
    ]  # fmt: skip
    deep = [b"[[" + b"[" * each + b"]" * each + b"], {}, " + embed + b"]" for each in depths]

    ids = [publish(body) for body in bad]
    deeper = [publish(body) for body in deep]

    assert {row(json_worker, each)["status"] for each in ids} == {"FAILURE"}
    # Arguments within Python's limits may run; those beyond fail. The consumer survives both.
    rows = [row(json_worker, each, whole=False) for each in deeper]
    assert b'"status": "SUCCESS"' in rows[0]
    assert b'"status": "FAILURE"' in rows[-1]
    assert row(json_worker, publish(b'[["dhl"], {}, {}]'))["status"] == "SUCCESS"


def test_the_result_command_prints_an_instance(json_worker: Worker) -> None:
    document = Document.objects.create()
    task_id = publish(dumps(call_body([[document]]), "cereal-json")[2], task=first_of)
    row(json_worker, task_id, whole=False)

    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tests", "result", task_id],
        env={**json_worker.environment, **JSON},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"Document object ({document.pk})"
