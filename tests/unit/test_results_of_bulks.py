"""One result that tells the truth: failed reads, expired results, rows of every kind."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import pytest
from celery.backends.base import KeyValueStoreBackend
from celery.states import FAILURE, IGNORED, REVOKED, SUCCESS
from django.core.cache import cache

from cereal_methods import BulkResult
from cereal_methods.counts import Counts
from cereal_methods.exceptions import ResultsExpired, ResultsNotKept
from cereal_methods.outcomes import Outcome, message_id, note_id, rest_id, row_id, text_of
from tests.celery import app


def result_of(batch_size: int = 1, full: int = 1, **options: Any) -> BulkResult:
    return BulkResult(str(uuid.uuid4()), batch_size, full, app=app, **options)


def store(task_id: str, value: Any, state: str = SUCCESS) -> None:
    app.backend.store_result(task_id, value, state)


class Broken:
    """A backend that cannot be read for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails = False
        read = type(app.backend).mget

        def mget(backend: Any, keys: Any) -> Any:
            if self.fails:
                raise ConnectionError("away")
            return read(backend, keys)

        monkeypatch.setattr(type(app.backend), "mget", mget)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    return Broken(monkeypatch)


def test_a_failed_read_changes_nothing(broken: Broken) -> None:
    result = result_of(full=3)
    store(message_id(result.id, 0), 1)
    store(message_id(result.id, 1), 1)
    assert result.succeeded == 2

    broken.fails = True
    with pytest.raises(ConnectionError):
        result.counts()
    broken.fails = False

    assert result.counts() == Counts(3, succeeded=2)
    store(message_id(result.id, 2), 1)
    assert result.wait(timeout=5) == Counts(3, succeeded=3)


def test_waiting_goes_on_when_the_backend_is_back(broken: Broken) -> None:
    result = result_of(full=1)
    seen: list[Counts] = []

    def look(counts: Counts) -> None:
        seen.append(counts)
        broken.fails = not broken.fails
        if broken.fails:
            store(message_id(result.id, 0), 1)
            threading.Timer(0.3, lambda: setattr(broken, "fails", False)).start()

    assert result.wait(timeout=10, interval=0.1, on_progress=look) == Counts(1, succeeded=1)
    assert len(seen) == 2


def test_rows_that_did_not_run_are_told_apart() -> None:
    result = result_of(full=4)
    for number, kind in enumerate(("revoked", "expired", "ignored", "failed")):
        task_id = message_id(result.id, number)
        store(note_id(task_id), [kind, [number], f"{kind} it is"])
        state = {"ignored": IGNORED, "failed": FAILURE}.get(kind, REVOKED)
        store(task_id, ValueError("x") if state == FAILURE else None, state)

    assert result.counts() == Counts(4, failed=1, ignored=1, revoked=1, expired=1)
    assert result.failures() == [
        (0, "revoked it is"),
        (1, "expired it is"),
        (3, "failed it is"),
    ]


def test_a_method_s_own_state_stays_and_its_row_is_ignored() -> None:
    result = result_of()
    task_id = message_id(result.id, 0)
    store(task_id, {"why": 1}, "SKIPPED")
    assert result.counts() == Counts(1)

    store(note_id(task_id), ["ignored", [5], "Ignore: "])

    assert result.counts() == Counts(1, ignored=1)


def test_the_rest_of_a_batch_is_followed() -> None:
    result = result_of(batch_size=4)
    batch = message_id(result.id, 0)
    outcome = Outcome(4, ["a"])
    outcome.add_retried()
    outcome.rest = [2, rest_id(batch, 2)]
    store(batch, outcome.as_result())
    assert result.counts() == Counts(4, succeeded=1)

    store(row_id(batch, 1), "b")
    store(rest_id(batch, 2), Outcome(2, ["c", "d"]).as_result())

    assert result.counts() == Counts(4, succeeded=4)
    assert result.get(timeout=5) == ["a", "b", "c", "d"]


def test_a_batch_that_was_broken_off_tells_of_its_rows() -> None:
    result = result_of(batch_size=3)
    batch = message_id(result.id, 0)
    noted = Outcome(3, ["a", None, None], revoked=[[1, 6, "r"], [2, 7, "r"]])
    store(note_id(batch), noted.as_result())
    store(batch, None, REVOKED)

    assert result.counts() == Counts(3, succeeded=1, revoked=2)
    assert result.failures() == [(6, "r"), (7, "r")]


def test_results_that_are_gone_are_said() -> None:
    result = result_of(full=2, sent_at=time.time() - 10 * 24 * 3600)
    store(message_id(result.id, 0), 1)

    assert result.counts() == Counts(2, succeeded=1)
    for ask in (result.ready, result.wait, result.get):
        with pytest.raises(ResultsExpired) as caught:
            ask()
        assert isinstance(caught.value, ResultsNotKept)
        assert str(caught.value) == (
            f"The bulk {result.id} was sent 240.0 hours ago, and its result backend removes "
            "results sooner than that: of 1 of its 2 rows there is no record. They may have run. "
            "Read results sooner, or keep them longer with CELERY_RESULT_EXPIRES."
        )


def test_what_was_counted_and_is_gone_since_is_said() -> None:
    result = result_of()
    store(message_id(result.id, 0), 1)
    assert result.ready()
    app.backend.forget(message_id(result.id, 0))

    assert result.counts() == Counts(1, succeeded=1)
    with pytest.raises(ResultsExpired, match="has lost some since"):
        result.get()


def test_a_bulk_that_has_just_been_sent_waits() -> None:
    result = result_of(sent_at=time.time())

    assert not result.ready()


class CacheBackend(KeyValueStoreBackend):
    """As that of django-celery-results on Django's cache: it has no ``mget``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.serializer = "pickle"
        self.cache_backend = cache

    def get(self, key: Any) -> Any:
        return cache.get(key.decode())

    def set(self, key: Any, value: Any) -> None:
        cache.set(key.decode(), value)

    def encode(self, data: Any) -> Any:
        return data

    def decode(self, payload: Any) -> Any:
        return payload


def test_results_in_django_s_cache_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = CacheBackend(app)
    monkeypatch.setattr(type(app), "backend", property(lambda self: backend))
    result = result_of(full=2)
    store(message_id(result.id, 0), 1)

    assert result.counts() == Counts(2, succeeded=1)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise GeneratorExit


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb\x00c\r\n d"), "ValueError: a b c d"),
        (ValueError("x" * 5000), "ValueError: " + "x" * 997 + "..."),
        (ValueError("\ud800"), "ValueError: "),
        (
            Unspeakable(),
            "Unspeakable: its text cannot be made, __str__ raised GeneratorExit",
        ),
    ],
)
def test_texts_of_errors_are_one_line_and_cannot_fail(error: Exception, text: str) -> None:
    assert text_of(error) == text
