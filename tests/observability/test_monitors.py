"""What monitors see of methods: task and row; and what that costs: no query."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.shop.models import Order
from tests.worker.workers import Worker

SETTINGS = "tests.observability.settings"
SHIP = "tests.shop.models.Order.ship"


def lines(path: Path) -> list[Any]:
    """Return what a monitor has written: a line of JSON each, the last perhaps not whole."""
    return [
        json.loads(line) for line in path.read_text().splitlines(keepends=True) if line[-1] == "\n"
    ]


def traffic(worker: Worker) -> dict[str, list[Any]]:
    """Return the sessions and queries since, of the consumer and of the pool."""
    seen = [each for each in worker.events() if each["what"] in ("query", "session")]
    return {
        "consumer": [each for each in seen if each["pid"] == worker.pid],
        "sessions": [each for each in seen if each["what"] == "session"],
        "queries": [each["sql"] for each in seen if each["what"] == "query"],
    }


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the worker's spans."""
    path = tmp_path_factory.mktemp("monitors") / "spans"
    path.touch()
    return path


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of what the worker tells Sentry."""
    path = tmp_path_factory.mktemp("monitors") / "events"
    path.touch()
    return path


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker], spans: Path, events: Path) -> Worker:
    """A worker with all monitors, to which the tests' messages go."""
    return start_worker(
        "--pool=prefork",
        "--concurrency=1",
        "-E",
        DJANGO_SETTINGS_MODULE=SETTINGS,
        TEST_SENTRY=str(events),
        TEST_SPANS=str(spans),
    )


@pytest.fixture(params=["cereal-pickle", "json"])
def serializer(request: pytest.FixtureRequest) -> Any:
    """Serializers whose messages decode to something else."""
    return request.param


def test_spans_of_a_worker_name_task_and_row(worker: Worker, spans: Path, serializer: str) -> None:
    order = Order.objects.create()
    before = len(lines(spans))
    worker.events()

    order.ship.apply_async(["dhl"], serializer=serializer).get(timeout=60)

    worker.wait_for(lambda: len(lines(spans)) > before, "the span")
    (span,) = lines(spans)[before:]
    assert span["name"] == f"run/{SHIP}"
    attributes = span["attributes"]
    assert attributes["celery.task_name"] == SHIP
    assert {
        name: attributes[f"cereal_methods.{name}"] for name in ("row", "model", "pk", "database")
    } == {
        "row": f"<shop.Order {order.pk}>",
        "model": "shop.Order",
        "pk": order.pk,
        "database": "default",
    }
    assert "cereal_methods.rows" not in attributes


def test_a_batch_and_each_of_its_rows_have_a_span(worker: Worker, spans: Path) -> None:
    orders = [Order.objects.create() for _ in range(3)]
    before = len(lines(spans))

    Order.ship.bulk_apply_async(orders, ["dhl"], batch_size=3).get()

    worker.wait_for(lambda: len(lines(spans)) == before + 4, "the spans")
    found = [span["attributes"] for span in lines(spans)[before:]]
    (batch,) = [each for each in found if "cereal_methods.pk" not in each]
    assert batch["cereal_methods.row"] == "<shop.Order 3 rows>"
    assert batch["cereal_methods.rows"] == 3
    rows = [each["cereal_methods.pk"] for each in found if each is not batch]
    assert rows == [order.pk for order in orders]


def test_monitors_cause_no_query_and_no_session(worker: Worker, serializer: str) -> None:
    order = Order.objects.create()
    worker.events()

    order.trace.apply_async(serializer=serializer).get(timeout=60)

    seen = traffic(worker)
    assert seen["consumer"] == []
    assert len(seen["sessions"]) == 1
    (fetch,) = seen["queries"]
    assert fetch.startswith("SELECT")


def test_a_row_that_is_gone_is_still_discarded_under_monitors(worker: Worker) -> None:
    order = Order.objects.create()
    missing = order.ship_or_not.apply_async(countdown=0.5)
    order.delete()

    worker.wait_for(lambda: missing.state == "IGNORED", "the task to be discarded")

    assert "is discarded: shop.Order" in worker.log.read_text()


def errors(path: Path) -> list[Any]:
    """Return the errors that Sentry was told of."""
    return [item for kind, item in lines(path) if kind == "event"]


CALLS: dict[str, Any] = {
    "fails": ("fail", [{"a": 1}], {}),
    "is locked": ("meet_locked", [1], {"boxed": 7}),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_error_in_sentry_names_task_and_row(
    worker: Worker, events: Path, serializer: str, call: str
) -> None:
    method, args, kwargs = CALLS[call]
    order = Order.objects.create()
    before = len(errors(events))
    worker.events()

    result = getattr(order, method).apply_async(args, kwargs, serializer=serializer)
    result.get(timeout=60, propagate=False)

    worker.wait_for(lambda: len(errors(events)) > before, "the event")
    (event,) = errors(events)[before:]
    name = f"tests.shop.models.Order.{method}"
    assert event["transaction"] == event["extra"]["celery-job"]["task_name"] == name
    assert event["contexts"]["row"] == {
        "task_name": name,
        "task_id": result.id,
        "model": "shop.Order",
        "pk": order.pk,
        "database": "default",
    }
    seen = traffic(worker)
    assert seen["consumer"] == []
    assert len(seen["sessions"]) == 1
    assert len([sql for sql in seen["queries"] if 'FROM "shop_order"' in sql]) == 1


def test_the_arguments_in_sentry_are_references(worker: Worker, events: Path) -> None:
    order, other = Order.objects.create(), Order.objects.create()
    before = len(errors(events))

    order.fail.delay(other).get(timeout=60, propagate=False)

    worker.wait_for(lambda: len(errors(events)) > before, "the event")
    (event,) = errors(events)[before:]
    job = event["extra"]["celery-job"]
    assert job["args"] == f"('<shop.Order {other.pk}>',)"
    assert job["kwargs"] == f"{{'this': '<shop.Order {order.pk}>'}}"


def test_the_row_of_an_error_that_is_missing_is_named(worker: Worker, events: Path) -> None:
    order = Order.objects.create()
    before = len(errors(events))
    pk = order.pk
    result = order.count.apply_async(countdown=0.5)
    order.delete()

    result.get(timeout=60, propagate=False)

    worker.wait_for(lambda: len(errors(events)) > before, "the event")
    (event,) = errors(events)[before:]
    assert event["contexts"]["row"]["pk"] == pk
    assert f"shop.Order {pk} in database 'default' does not exist" in str(event["exception"])


def test_a_locking_method_whose_row_is_missing_is_reported_once(
    worker: Worker, events: Path
) -> None:
    order = Order.objects.create()
    before = len(errors(events))
    result = order.add_locked.apply_async(countdown=0.5)
    order.delete()

    result.get(timeout=60, propagate=False)
    Order.objects.create(number="bad").fail.delay().get(timeout=60, propagate=False)

    worker.wait_for(lambda: len(errors(events)) >= before + 2, "the events")
    found = [each["exception"]["values"][-1]["type"] for each in errors(events)[before:]]
    assert found == ["Order.DoesNotExist", "ValueError"]


@pytest.fixture
def sent_spans() -> Iterator[InMemorySpanExporter]:
    """The spans of this process, which sends."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    CeleryInstrumentor().instrument(tracer_provider=provider)
    yield exporter
    CeleryInstrumentor().uninstrument()


def test_sending_under_a_monitor_runs_no_query(
    worker: Worker, sent_spans: InMemorySpanExporter, django_assert_num_queries: Any
) -> None:
    order = Order.objects.create()

    with django_assert_num_queries(0):
        result = order.ship.delay("dhl")

    result.get(timeout=60)
    (span,) = sent_spans.get_finished_spans()
    assert span.name == f"apply_async/{SHIP}"
    assert dict(span.attributes or {})["celery.task_name"] == SHIP


def test_sending_under_all_monitors_runs_no_query(
    worker: Worker, events: Path, tmp_path: Path
) -> None:
    order = Order.objects.create()
    probe, sentry = tmp_path / "probe", tmp_path / "events"
    sentry.touch()

    subprocess.run(
        [sys.executable, "-m", "tests.observability.sending", str(order.pk)],
        env={**worker.environment, "TEST_PROBE": str(probe), "TEST_SENTRY": str(sentry)},
        check=True,
        timeout=100,
    )

    assert [each["what"] for each in lines(probe)] == ["session", "query", "sending"]
    (request,) = [item for kind, item in lines(sentry) if kind == "transaction"]
    submitted = [each for each in request["spans"] if each["op"] == "queue.submit.celery"]
    assert {span["description"] for span in submitted} == {SHIP}


@pytest.fixture(scope="module")
def flower(worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Flower that watches the worker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("flower")
    command = [sys.executable, "-m", "celery", "-A", "tests", "flower", f"--port={port}"]
    command += ["--address=127.0.0.1"]
    environment = {
        **worker.environment,
        "FLOWER_UNAUTHENTICATED_API": "true",
        "TEST_PROBE": str(folder / "probe"),
    }
    (folder / "probe").touch()
    for name in ("TEST_SENTRY", "TEST_SPANS"):
        del environment[name]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        worker.wait_for(lambda: answer(f"{address}/api/workers?refresh=1"), "Flower")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert (folder / "probe").read_text() == ""  # no query in Flower


def answer(address: str) -> Any:
    """Return what Flower answers, in Python, or None."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return json.load(response)
    except OSError:
        return None


def test_flower_shows_task_and_row(worker: Worker, flower: str) -> None:
    order = Order.objects.create()
    result = order.ship.delay("dhl", express=True)
    result.get(timeout=60)

    def seen() -> Any:
        found = answer(f"{flower}/api/tasks") or {}
        task = found.get(result.id)
        return task if task and task["state"] == "SUCCESS" else None

    task = worker.wait_for(seen, "the task in Flower")
    assert task["name"] == SHIP
    assert task["args"] == f"(<shop.Order {order.pk}>, 'dhl')"
    assert task["kwargs"] == "{'express': True}"
    # Its search understands the keyword arguments, as they are a dict.
    found = answer(f"{flower}/api/tasks?search=kwargs:express=True")
    assert found is not None
    assert result.id in found


def test_the_text_of_a_model_is_never_asked_for(worker: Worker) -> None:
    assert "a model's __str__ may query" not in worker.log.read_text()
