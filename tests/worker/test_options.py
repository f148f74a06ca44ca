"""Celery's options and exceptions, for methods and functions whose rows have options, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.exceptions import Retry

from tests.celery import app
from tests.watch.models import Parcel
from tests.watch.optional import (
    Job,
    describe,
)

from .optional import SECONDS, SERIALIZERS, begun, gone, started, wait_for_state
from .workers import Worker


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker whose plain tasks have one of our serializers, too."""
    yield from started(start_worker)


# pydantic


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_pydantic_reads_the_arguments_of_a_method_with_row_options(
    worker: Worker, serializer: str
) -> None:
    job = Job.objects.create()

    result = job.addressed.apply_async([{"city": "Rome"}], {"copies": 2}, serializer=serializer)

    assert result.get(timeout=SECONDS) == ["7", "Rome", 2]


def test_pydantic_refuses_what_it_cannot_read_and_takes_models(worker: Worker) -> None:
    job = Job.objects.create()

    from tests.watch.readers import Address

    taken = job.addressed.delay(Address(city="Rome"))
    refused = job.addressed.apply_async([{"town": "Rome"}])

    assert taken.get(timeout=SECONDS) == ["7", "Rome", 1]
    with pytest.raises(Exception, match="ValidationError"):
        refused.get(timeout=SECONDS)


def test_pydantic_reads_the_arguments_in_bulk(worker: Worker) -> None:
    jobs = [Job.objects.create(), gone(Job.objects.create()), Job.objects.create(number="8")]

    bulk = Job.addressed.bulk_delay(jobs, {"city": "Rome"})

    bulk.wait(timeout=SECONDS)
    assert (bulk.succeeded, bulk.failed, bulk.missing) == (2, 0, 1)


def test_pydantic_reads_the_arguments_of_a_batch(worker: Worker) -> None:
    jobs = [Job.objects.create(), Job.objects.create(number="8")]

    bulk = Job.addressed.bulk_apply_async(jobs, [{"city": "Rome"}], batch_size=2)

    assert bulk.get(timeout=SECONDS) == [["7", "Rome", 1], ["8", "Rome", 1]]


# autoretry_for, Retry, Reject, Ignore


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_autoretry_retries_what_the_method_raises(worker: Worker, serializer: str) -> None:
    job = Job.objects.create()

    assert job.retried.apply_async(serializer=serializer).get(timeout=SECONDS) == 2
    assert [event["retries"] for event in begun(worker)] == [0, 1, 2]


def test_autoretry_does_not_retry_a_missing_row(worker: Worker) -> None:
    job = gone(Job.objects.create())

    result = job.retried.delay()
    discarded = job.retried_or_discarded.delay()

    with pytest.raises(Job.DoesNotExist):
        result.get(timeout=SECONDS)
    wait_for_state(worker, discarded, "IGNORED")
    looks = [each for each in worker.events() if each["what"] == "look"]
    assert [each["moment"] for each in looks] == []
    log = worker.log.read_text()
    assert f"{job.retried.name}[{result.id}] retry" not in log
    assert log.count(f"{job.retried.name}[{result.id}] received") == 1


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_reject_requeues_a_message_and_rolls_back(worker: Worker, serializer: str) -> None:
    job = Job.objects.create()

    result = job.requeued.apply_async(serializer=serializer)

    assert result.get(timeout=SECONDS) == "done"
    assert [event["redelivered"] for event in begun(worker)] == [False, True]
    job.refresh_from_db()
    assert job.tries == 1


@pytest.mark.parametrize("by", ["ignore", "reject"])
def test_ignore_and_reject_roll_back(worker: Worker, by: str) -> None:
    job = Job.objects.create()

    job.ended.delay(by)
    job.described.delay().get(timeout=SECONDS)
    worker.wait_for(lambda: begun(worker), "the method to begin")
    job.described.delay().get(timeout=SECONDS)

    job.refresh_from_db()
    assert job.tries == 0


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize(
    ("carrier", "result"),
    [
        ("kwargs", ["kwargs", True]),
        ("args", ["by args", False]),
        ("both", ["by both", True]),
    ],
)
def test_a_retry_with_other_arguments_keeps_self(
    worker: Worker, carrier: str, result: list[Any], serializer: str
) -> None:
    job = Job.objects.create()

    sent = job.changed.apply_async([carrier], serializer=serializer)

    assert sent.get(timeout=SECONDS) == [job.pk, *result]


def test_a_retry_with_other_arguments_keeps_self_in_bulk(worker: Worker) -> None:
    jobs = [Job.objects.create(), Job.objects.create()]

    one = Job.changed.bulk_delay(jobs[:1], "kwargs")
    batch = Job.changed.bulk_apply_async(jobs, ["both"], batch_size=2)

    assert one.get(timeout=SECONDS) == [[jobs[0].pk, "kwargs", True]]
    assert batch.get(timeout=SECONDS) == [[job.pk, "by both", True] for job in jobs]


def test_an_exception_in_throws_is_expected(worker: Worker) -> None:
    job = Job.objects.create()

    result = job.throws.delay()

    with pytest.raises(KeyError):
        result.get(timeout=SECONDS)
    worker.wait_for_log(f"Task {job.throws.name}[{result.id}] raised expected: KeyError")


def test_arguments_without_typing_fail_in_the_worker(worker: Worker) -> None:
    job = Job.objects.create()

    with pytest.raises(TypeError, match="carrier"):
        job.untyped.delay().get(timeout=SECONDS)
    assert job.untyped.delay("dhl").get(timeout=SECONDS) == "dhl"


# replace


def test_what_replaces_a_locked_method_finds_what_it_wrote(worker: Worker) -> None:
    jobs = [Job.objects.create() for _ in range(15)]

    results = [job.replaced.delay() for job in jobs]

    assert [each.get(timeout=SECONDS) for each in results] == [[f"after {job.pk}"] for job in jobs]
    assert [Job.objects.get(pk=job.pk).tries for job in jobs] == [1] * 15


def test_a_chain_replaces_a_locked_method(worker: Worker) -> None:
    jobs = [Job.objects.create() for _ in range(5)]

    results = [job.replaced_by_two.delay() for job in jobs]

    assert [each.get(timeout=SECONDS) for each in results] == [["b", ["a"]]] * 5
    assert [Job.objects.get(pk=job.pk).tries for job in jobs] == [1] * 5


def test_the_replacement_goes_on_with_the_chain(worker: Worker) -> None:
    job, last = Job.objects.create(), Job.objects.create(number="last")

    result = (job.replaced.s() | last.described.s()).delay()

    assert result.get(timeout=SECONDS) == ["last", [f"after {job.pk}"]]


# A task's own message, sent once more


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_method_sends_its_message_once_more(worker: Worker, serializer: str) -> None:
    job, other = Job.objects.create(), Job.objects.create()
    args = ["x"] if serializer == "json" else ["x", other]

    (again,) = job.sent_again.apply_async(args, serializer=serializer).get(timeout=SECONDS)

    shown = ["x"] if serializer == "json" else ["x", other.pk]
    assert app.AsyncResult(again).get(timeout=SECONDS) == [job.pk, shown]


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_hook_sends_a_failed_message_once_more(worker: Worker, serializer: str) -> None:
    job, other = Job.objects.create(), Job.objects.create()
    args = ["x"] if serializer == "json" else ["x", other]

    failed = job.buried.apply_async(args, {"reason": "old"}, serializer=serializer)

    with pytest.raises(ValueError, match="buried"):
        failed.get(timeout=SECONDS)
    shown = ["x"] if serializer == "json" else ["x", other.pk]
    again = app.AsyncResult(f"{failed.id}-again")
    assert again.get(timeout=SECONDS) == [job.pk, shown, "old"]


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_hook_sends_the_message_of_a_missing_row_once_more(
    worker: Worker, serializer: str
) -> None:
    job = gone(Job.objects.create())

    failed = job.buried.apply_async(["x"], serializer=serializer)

    for each in (failed, app.AsyncResult(f"{failed.id}-again")):
        with pytest.raises(Job.DoesNotExist, match=f"watch.Job {job.pk} in database"):
            each.get(timeout=SECONDS)


# Here and now


def test_a_function_decides_for_calls_here_and_now(worker: Worker) -> None:
    job = gone(Job.objects.create())

    assert Job.described_if_there.task(this=job.pk) == ["missing", job.pk]
    assert job.described_if_there.apply().get() == ["missing", job.pk]
    with pytest.raises(LookupError, match="nothing to do"):
        job.refused_if_gone.apply().get()
    assert job.ignored_if_gone.apply().state == "IGNORED"
    assert describe.apply([gone(Parcel.objects.create())]).get()[0] == "missing"


def test_a_retry_with_other_arguments_keeps_self_in_eager_mode(worker: Worker) -> None:
    job = Job.objects.create()

    assert job.changed.apply(["kwargs"]).get() == [job.pk, "kwargs", True]
    assert job.changed.apply(["args"]).get() == [job.pk, "by args", False]
    assert job.changed.apply(["both"]).get() == [job.pk, "by both", True]


def test_autoretry_holds_in_eager_mode(worker: Worker) -> None:
    job = Job.objects.create()

    assert job.retried.apply().get() == 2
    with pytest.raises(Job.DoesNotExist):
        gone(job).retried.apply().get()
    assert not isinstance(job.retried.apply().result, Retry)
