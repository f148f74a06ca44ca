"""Rows fare the same alone, in bulk and in batches of any size, whatever one of them does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from celery.states import FAILURE, IGNORED, SUCCESS
from django.db import transaction

from cereal_methods.results.counts import Counts
from tests.shop.strangers import Stranger, ledger

from .workers import Worker

SECONDS = 25

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated setex"),
    # Celery tells a parent of errors that cannot be shown in warnings of its own.
    pytest.mark.filterwarnings("ignore::celery.exceptions.CPendingDeprecationWarning"),
]


class Scenario(NamedTuple):
    """What one row in the middle of others does, and what becomes of it."""

    kind: str
    #: The numbers of rows that did not succeed.
    counts: dict[str, int]
    error: str = ""
    method: str = "meet"
    #: How often the method of that row is run.
    runs: int = 1
    options: Mapping[str, Any] = MappingProxyType({})
    hooks: int = 0


FAILED = {"failed": 1}
SCENARIOS = {
    "failure": Scenario("failing", FAILED, "ValueError: two lines", hooks=1),
    "str raises": Scenario(
        "unspeakable",
        FAILED,
        "Unspeakable: its text cannot be made, __str__ raised RuntimeError",
        hooks=1,
    ),
    "repr raises": Scenario("unshowable", FAILED, "ValueError: ", hooks=1),
    "unencodable": Scenario("unencodable", FAILED, "EncodingFailed: ", hooks=1),
    "cancelled": Scenario("cancelled", FAILED, "FunctionAborted: ", hooks=1),
    "generator exit": Scenario("leaving", FAILED, "FunctionAborted: ", hooks=1),
    "autocommit off": Scenario("open", {}),
    "session setting": Scenario("setting", {}),
    "retry": Scenario("late", {}, runs=2),
    "retries exhausted": Scenario("never", FAILED, "KeyError: 'never'", runs=2, hooks=1),
    "replace": Scenario("replaced", {}, runs=2),
    "ignore": Scenario("ignored", {"ignored": 1}),
    "reject": Scenario("rejected", FAILED, "Reject: "),
    "missing": Scenario("gone", {"missing": 1}, "Stranger.DoesNotExist: ", runs=0, hooks=1),
    "discarded": Scenario(
        "gone", {"missing": 1}, "Stranger.DoesNotExist: ", method="meet_or_not", runs=0
    ),
    "skipped": Scenario("held", {"ignored": 1}, method="meet_if_free", runs=0),
    "locked": Scenario("held", FAILED, "RowLocked: ", method="meet_now", runs=0, hooks=1),
    "locked together": Scenario(
        "failing", FAILED, "ValueError: two lines", method="meet_together", hooks=1
    ),
    "soft limit": Scenario(
        "slow", FAILED, "SoftTimeLimitExceeded: ", options={"soft_time_limit": 2}, hooks=1
    ),
    "hard limit": Scenario(
        "slow", FAILED, "TimeLimitExceeded: ", options={"time_limit": 2}, hooks=1
    ),
    "exit": Scenario("dead", FAILED, "WorkerLostError: "),
    "exit, late": Scenario("dead", FAILED, "WorkerLostError: ", method="meet_late", runs=2),
    "deletes the next": Scenario("deadly", {"missing": 1}, "Stranger.DoesNotExist: ", hooks=1),
}

WAYS = {"alone": 0, "bulk": None, "batches of 2": 2, "batch of 500": 500}

#: How many strangers there are on each side of the odd one.
BESIDE = 3


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    found = start_worker(
        "--pool=prefork", "--concurrency=1", TEST_MAX_CRASHES="2", TEST_FETCH_MAX_RETRIES="2"
    )
    yield found
    found.__exit__()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    names = [f"strangers-{what}" for what in ("run", "hook")]
    ledger().delete(*names)
    yield
    ledger().delete(*names)


def counted(what: str) -> dict[int, int]:
    return {int(key): int(times) for key, times in ledger().hgetall(f"strangers-{what}").items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_strangers_run_once_whatever_a_row_does(worker: Worker, name: str, way: str) -> None:
    scenario = SCENARIOS[name]
    rows = Stranger.objects.bulk_create(Stranger() for _ in range(2 * BESIDE + 1))
    odd = rows[BESIDE]
    Stranger.objects.filter(pk=odd.pk).update(kind=scenario.kind)
    struck = rows[BESIDE + 1] if scenario.kind == "deadly" else odd
    if scenario.kind == "gone":
        Stranger.objects.filter(pk=odd.pk).delete()
    method = getattr(Stranger, scenario.method)

    with transaction.atomic():
        if scenario.kind == "held":
            Stranger.objects.select_for_update().get(pk=odd.pk)
        counts, failures = send(method, rows, scenario, WAYS[way])

    told = Counts(len(rows), **scenario.counts)
    assert counts == Counts(len(rows), len(rows) - told.without_result, **scenario.counts)
    if told.wrong:
        ((key, error),) = failures
        assert key == struck.pk
        assert error.startswith(scenario.error)
        assert "\n" not in error
    else:
        assert failures == []
    runs = counted("run")
    strangers = {row.pk: 1 for row in rows if row not in (odd, struck)}
    assert {key: runs.get(key) for key in strangers} == strangers
    assert runs.get(odd.pk, 0) == scenario.runs
    assert counted("hook") == ({struck.pk: scenario.hooks} if scenario.hooks else {})
    if scenario.kind == "deadly":
        assert not Stranger.objects.filter(pk=struck.pk).exists()


def send(method: Any, rows: Any, scenario: Scenario, size: Any) -> tuple[Counts, list[Any]]:
    if size == 0:
        return send_alone(rows, scenario)
    result = method.bulk_apply_async([row.pk for row in rows], batch_size=size, **scenario.options)
    counts = result.wait(timeout=SECONDS)
    return counts, result.failures()


def send_alone(rows: Any, scenario: Scenario) -> tuple[Counts, list[Any]]:
    """Send each row with ``apply_async``; return the same as for a bulk."""
    results = {}
    for row in rows:
        results[row.pk] = getattr(row, scenario.method).apply_async(**scenario.options)
        if scenario.kind == "deadly" and row.pk == rows[BESIDE].pk:
            results[row.pk].get(timeout=SECONDS)
    deadline = time.monotonic() + SECONDS
    numbers: Counter[str] = Counter()
    failures = []
    for key, result in results.items():
        # Nothing records it where a method raises Ignore, and it is not a bulk's.
        is_ignored = scenario.kind == "ignored" and key == rows[BESIDE].pk
        while not (result.ready() or result.state == IGNORED):
            if is_ignored and counted("run").get(key):
                break
            assert time.monotonic() < deadline, (key, result.state)
            time.sleep(0.02)
        error = result.result
        if result.state == SUCCESS:
            numbers["succeeded"] += 1
        elif result.state == FAILURE:
            missing = isinstance(error, Stranger.DoesNotExist)
            numbers["missing" if missing else "failed"] += 1
            name = type(error).__qualname__
            try:
                text = " ".join(str(error).split())
            except RuntimeError:
                text = "its text cannot be made, __str__ raised RuntimeError"
            failures.append((key, f"{name}: {text}"))
        elif scenario.method == "meet_or_not":
            numbers["missing"] += 1
            failures.append((key, "Stranger.DoesNotExist: discarded"))
        else:
            numbers["ignored"] += 1
    return Counts(len(rows), **numbers), failures
