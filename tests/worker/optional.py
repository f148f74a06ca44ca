"""What the tests of options have in common: a worker whose plain tasks have our serializer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .workers import Worker

SECONDS = 30
SERIALIZERS = ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack", "json"]
OURS = SERIALIZERS[:-1]


def begun(worker: Worker) -> list[dict[str, Any]]:
    return [event for event in worker.events() if event["what"] == "begin"]


def key_of(worker: Worker) -> dict[str, Any]:
    """Return what a hook has made of arguments, which it does after the result is there."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found.extend(event for event in worker.events() if event["what"] == "key")
        return bool(found)

    worker.wait_for(is_there, "the hook")
    return found[0]


def gone(row: Any) -> Any:
    """Return the row as it was before it was deleted."""
    type(row).objects.filter(pk=row.pk).delete()
    return row


def wait_for_state(worker: Worker, result: Any, state: str) -> None:
    worker.wait_for(lambda: result.state == state, f"{result.id} to be {state}")


def started(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker whose plain tasks have one of our serializers, too."""
    found = start_worker(
        "--pool=prefork", "--concurrency=2", TEST_TASK_SERIALIZER="cereal-json", TEST_WATCH="1"
    )
    yield found
    found.__exit__()
