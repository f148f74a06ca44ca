"""Methods whose arguments are read before they begin: by hooks, handlers, pydantic.

Forty additions of one, on a row that is locked, give forty, whatever has read it before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.celery import app
from tests.watch.models import Parcel, Sender

from .contract_ways import as_keyword
from .workers import Worker

MANY = 40
SECONDS = 60

#: How each method is read early, and whether with the positional argument that it takes.
READERS = [
    "add",
    "add_by_name",
    "add_by_position",
    "add_by_loop",
    "add_by_get",
    "add_by_prerun",
    "add_by_call",
    "add_by_all",
]
SERIALIZERS = ["cereal-pickle", "cereal-json", "json"]


@pytest.fixture(scope="module", params=["prefork", "threads"])
def worker(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker that runs several tasks at once."""
    concurrency = {"prefork": 2, "threads": 8}[request.param]
    found = start_worker(f"--pool={request.param}", f"--concurrency={concurrency}")
    yield found
    found.__exit__()


def begun(worker: Worker) -> list[dict[str, Any]]:
    return [event for event in worker.events() if event["what"] == "begin"]


def counted(row: Parcel, results: list[Any]) -> int:
    """Return what is counted when all tasks have ended."""
    for result in results:
        result.get(timeout=SECONDS)
    row.refresh_from_db()
    return row.count


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("reader", READERS)
def test_forty_additions_are_forty(worker: Worker, reader: str, serializer: str) -> None:
    row = Parcel.objects.create()

    method = getattr(row, reader)
    options = {"args": ["x"], "kwargs": {"carrier": "dhl"}, "serializer": serializer}
    results = [method.apply_async(**options) for _ in range(MANY)]

    assert counted(row, results) == MANY
    assert all(event["locked"] for event in begun(worker))


@pytest.mark.parametrize("reader", ["add", "add_by_all"])
def test_forty_additions_are_forty_with_the_row_among_the_keywords(
    worker: Worker, reader: str
) -> None:
    row = Parcel.objects.create()

    for serializer in ("cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"):
        ids = [
            as_keyword(row, reader, serializer, ["x"], {"carrier": "dhl"}) for _ in range(MANY // 4)
        ]
        counted(row, [app.AsyncResult(each) for each in ids])

    assert row.count == MANY


@pytest.mark.parametrize("reader", ["add", "add_by_all", "add_by_prerun"])
@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_forty_additions_are_forty_by_key_and_name(
    worker: Worker, reader: str, serializer: str
) -> None:
    row = Parcel.objects.create()

    name = getattr(row, reader).task.name
    results = [
        app.send_task(name, ["x"], {"carrier": "dhl", "this": row.pk}, serializer=serializer)
        for _ in range(MANY)
    ]

    assert counted(row, results) == MANY


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_forty_additions_are_forty_under_pydantic(worker: Worker, serializer: str) -> None:
    row = Parcel.objects.create()

    address = {"address": {"city": "Rome"}}
    results = [
        row.add_by_pydantic.apply_async(kwargs=address, serializer=serializer) for _ in range(MANY)
    ]

    assert counted(row, results) == MANY
    kinds = {event["kind"] for event in worker.events() if event["what"] == "address"}
    assert kinds == {"Address"}


@pytest.mark.parametrize("reader", ["add_by_all", "add_by_prerun"])
def test_forty_additions_are_forty_in_bulk(worker: Worker, reader: str) -> None:
    row = Parcel.objects.create()

    method = getattr(Parcel, reader)
    bulks = [method.bulk_delay([row], "x", carrier="dhl") for _ in range(MANY)]

    for bulk in bulks:
        bulk.wait(timeout=SECONDS)
    row.refresh_from_db()
    assert row.count == MANY


def test_forty_eager_additions_are_forty(worker: Worker) -> None:
    row = Parcel.objects.create()

    for reader in ("add", "add_by_all", "add_by_prerun", "add_by_pydantic"):
        args = [] if reader == "add_by_pydantic" else ["x"]
        for _ in range(MANY // 4):
            getattr(row, reader).apply(args, {"carrier": "dhl"}).get()

    row.refresh_from_db()
    assert row.count == MANY


def test_a_method_without_readers_costs_one_query(worker: Worker) -> None:
    row = Parcel.objects.create(is_sent=True)

    for serializer in SERIALIZERS:
        result = row.add.apply_async(["x"], {"carrier": "dhl"}, serializer=serializer)
        result.get(timeout=SECONDS)

        whats = [event["what"] for event in worker.events()]
        assert whats[: whats.index("begin")].count("query") == 1
        assert whats.count("session") == 1


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_the_manager_holds_under_readers(worker: Worker, serializer: str) -> None:
    sender = Sender.objects.create()
    sent, kept = (Parcel.objects.create(is_sent=each, sender=sender) for each in (True, False))

    message = {"args": ["x"], "kwargs": {"carrier": "dhl"}, "serializer": serializer}
    refused = kept.ship_sent.apply_async(**message)
    shipped = sent.ship_sent.apply_async(**message)

    assert shipped.get(timeout=SECONDS) == ["7", "Ada"]
    worker.wait_for(lambda: refused.state == "IGNORED", "the other to be discarded")
    assert [event["has_sender"] for event in begun(worker)] == [True]
