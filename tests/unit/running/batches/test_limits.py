"""The time limits of a batch: those of its message, its task and its worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from celery import signals

from cereal_methods.running.batches import limits
from cereal_methods.running.batches.limits import TimeShare


@pytest.fixture(autouse=True)
def no_worker() -> Iterator[None]:
    before = list(limits._worker_limits)
    yield
    limits._worker_limits[:] = before


def share(message: Any = None, task: tuple[Any, Any] = (None, None)) -> TimeShare:
    return TimeShare(
        mock.Mock(time_limit=task[0], soft_time_limit=task[1]), mock.Mock(timelimit=message)
    )


@pytest.mark.parametrize(
    ("message", "task", "worker", "seconds"),
    [
        (None, (None, None), (None, None), None),
        ((None, None), (None, None), (None, None), None),
        ((100, 80), (1, 1), (1, 1), 8.0),
        (None, (100, None), (1, None), 10.0),
        (None, (None, 60), (100, None), 6.0),
        (None, (None, None), (100, 90), 9.0),
    ],
)
def test_a_batch_uses_a_tenth_of_the_shorter_limit(
    message: Any, task: Any, worker: Any, seconds: float | None
) -> None:
    instance = mock.Mock(time_limit=worker[0], soft_time_limit=worker[1])
    signals.celeryd_after_setup.send(sender="worker", instance=instance, conf=None)

    limits = share(message, task)

    assert limits._seconds == (None if seconds is None else pytest.approx(seconds))


def test_time_is_used_after_that() -> None:
    limit = share((100, None))

    with mock.patch.object(limits.time, "monotonic", return_value=limit._started + 9.9):
        assert not limit.is_used()
        assert limit.elapsed == pytest.approx(9.9)
    with mock.patch.object(limits.time, "monotonic", return_value=limit._started + 10.1):
        assert limit.is_used()


def test_without_a_limit_time_is_never_used() -> None:
    limit = share()

    with mock.patch.object(limits.time, "monotonic", return_value=limit._started + 1e9):
        assert not limit.is_used()
