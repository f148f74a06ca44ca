"""Existing tasks under our serializers, and functions with options for their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cereal_methods import ModelReference
from tests.celery import app
from tests.watch.models import Parcel, Sender
from tests.watch.optional import (
    Job,
    add_to,
    both,
    decide,
    describe,
    existing,
    existing_dead_letter,
    ship,
)

from .optional import OURS, SECONDS, SERIALIZERS, begun, gone, key_of, started, wait_for_state
from .workers import Worker


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker whose plain tasks have one of our serializers, too."""
    yield from started(start_worker)


# Existing tasks under one of our serializers


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_existing_tasks_do_with_their_arguments_as_before(worker: Worker, serializer: str) -> None:
    result = existing.apply_async(
        ["x", [1]], {"tenant": "a", "async_user_id": 5, "n": {"m": 1}}, serializer=serializer
    )

    assert result.get(timeout=SECONDS) == [
        ["x", [1]],
        {"n": {"m": 1}, "seen": "a"},
        ["x", [1]],
        3,
        {"async_user_id": 5, "n": {"m": 1}, "seen": "a"},
        True,
    ]
    key = key_of(worker)
    shown = '[["x", [1]], {"async_user_id": 5, "n": {"m": 1}, "seen": "a"}]'
    assert (key["key"], key["user"]) == (shown, 5)


@pytest.mark.parametrize("serializer", OURS)
def test_existing_tasks_with_rows_do_with_their_arguments_as_before(
    worker: Worker, serializer: str
) -> None:
    job = Job.objects.create()

    result = existing.apply_async([job], {"async_user_id": 5, "by": job}, serializer=serializer)

    args, kwargs, shown, length, named, are_containers = result.get(timeout=SECONDS)
    assert (args, kwargs, are_containers) == ([job], {"by": job, "seen": None}, True)
    assert (length, sorted(named)) == (2, ["async_user_id", "by", "seen"])
    assert shown[0] == named["by"] == ModelReference.of(job).as_plain()


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_task_class_takes_its_own_arguments_away(worker: Worker, serializer: str) -> None:
    job = Job.objects.create()
    kwargs = {"tenant": "a", "async_user_id": 5, "n": 1}

    result = job.audited.apply_async(["x"], kwargs, serializer=serializer)

    assert result.get(timeout=SECONDS) == [job.pk, ["x"], {"n": 1, "seen": "a"}]
    key = key_of(worker)
    assert key["user"] == 5


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_an_existing_dead_letter_is_sent_once_more(worker: Worker, serializer: str) -> None:
    failed = existing_dead_letter.apply_async(["x"], {"n": 1}, serializer=serializer)

    with pytest.raises(ValueError, match="buried"):
        failed.get(timeout=SECONDS)
    assert app.AsyncResult(f"{failed.id}-again").get(timeout=SECONDS) == [["x"], {"n": 1}]


# Functions with options for their rows


def test_a_function_locks_its_rows(worker: Worker) -> None:
    parcel = Parcel.objects.create()

    results = [add_to.delay(parcel) for _ in range(40)]

    for result in results:
        result.get(timeout=SECONDS)
    parcel.refresh_from_db()
    assert parcel.count == 40


@pytest.mark.parametrize("serializer", OURS)
def test_a_function_chooses_its_manager(worker: Worker, serializer: str) -> None:
    sender = Sender.objects.create()
    sent, kept = (Parcel.objects.create(sender=sender, is_sent=each) for each in (True, False))

    shipped = ship.apply_async([sent], serializer=serializer)
    refused = ship.apply_async([], {"parcel": kept}, serializer=serializer)

    assert shipped.get(timeout=SECONDS) == ["7"]
    wait_for_state(worker, refused, "IGNORED")
    assert [event["has_sender"] for event in begun(worker)] == [True]


def test_a_function_has_its_former_name(worker: Worker) -> None:
    parcel = Parcel.objects.create(is_sent=True)

    result = app.send_task("watch.old_name", [parcel], serializer="cereal-json")

    assert result.get(timeout=SECONDS) == ["7"]


@pytest.mark.parametrize("serializer", OURS)
def test_each_parameter_has_options_of_its_own(worker: Worker, serializer: str) -> None:
    parcels = [Parcel.objects.create(is_sent=each) for each in (True, False, False)]
    job = Job.objects.create()

    done = both.apply_async([parcels[0], job, *parcels[1:]], serializer=serializer)
    failed = both.apply_async([parcels[1], job], serializer=serializer)

    assert done.get(timeout=SECONDS) == [
        parcels[0].pk,
        job.pk,
        *(each.pk for each in parcels[1:]),
    ]
    with pytest.raises(Parcel.DoesNotExist, match="hidden by the manager 'sent'"):
        failed.get(timeout=SECONDS)
    assert [event["locked"] for event in begun(worker)] == [True]


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_a_function_decides_for_a_missing_row(worker: Worker, serializer: str) -> None:
    job, there = gone(Job.objects.create()), Job.objects.create()
    options = {"serializer": serializer}

    decided = job.described_if_there.apply_async(**options)
    refused = job.refused_if_gone.apply_async(**options)
    ignored = job.ignored_if_gone.apply_async(**options)

    assert decided.get(timeout=SECONDS) == ["missing", job.pk]
    assert decided.state == "SUCCESS"
    with pytest.raises(LookupError, match="nothing to do"):
        refused.get(timeout=SECONDS)
    worker.wait_for_log(f"Task {job.ignored_if_gone.name}[{ignored.id}] ignored")
    assert there.described_if_there.delay().get(timeout=SECONDS) == ["there", there.pk]


def test_a_decided_result_goes_on_with_the_chain(worker: Worker) -> None:
    job, last = gone(Job.objects.create()), Job.objects.create(number="last")

    result = (job.described_if_there.s() | last.described.s()).delay()

    assert result.get(timeout=SECONDS) == ["last", ["missing", job.pk]]


@pytest.mark.parametrize("serializer", OURS)
def test_a_function_decides_for_the_missing_rows_of_functions(
    worker: Worker, serializer: str
) -> None:
    parcel, job = Parcel.objects.create(), Job.objects.create()
    no_parcel, no_job = gone(Parcel.objects.create()), gone(Job.objects.create())
    options = {"serializer": serializer}

    one = describe.apply_async([no_parcel], **options)
    other = decide.apply_async([no_parcel, job], **options)
    ignored = decide.apply_async([parcel], {"job": no_job}, **options)

    assert one.get(timeout=SECONDS) == ["missing", no_parcel.pk]
    assert other.get(timeout=SECONDS) == ["missing", no_parcel.pk]
    worker.wait_for_log(f"[{ignored.id}] ignored")
    assert decide.apply_async([parcel, job], **options).get(timeout=SECONDS) == "there"


def test_a_function_decides_in_bulk(worker: Worker) -> None:
    jobs = [Job.objects.create(), gone(Job.objects.create())]

    bulk = Job.described_if_there.bulk_delay(jobs)

    assert bulk.get(timeout=SECONDS) == [["there", jobs[0].pk], ["missing", jobs[1].pk]]
