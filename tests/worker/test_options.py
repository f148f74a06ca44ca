"""Celery's options and exceptions, for methods and functions whose rows have options, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.exceptions import Retry

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

from .workers import Worker

SECONDS = 30
SERIALIZERS = ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack", "json"]
OURS = SERIALIZERS[:-1]


@pytest.fixture(scope="module")
def worker(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker whose plain tasks have one of our serializers, too."""
    found = start_worker(
        "--pool=prefork", "--concurrency=2", TEST_TASK_SERIALIZER="cereal-json", TEST_WATCH="1"
    )
    yield found
    found.__exit__()


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
    with pytest.raises(Parcel.DoesNotExist, match="not among those of the manager 'sent'"):
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
