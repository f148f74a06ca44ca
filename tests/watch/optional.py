"""Methods and functions with Celery's options, and with those of rows."""

from __future__ import annotations

import json
from typing import Any

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject
from django.db import connection, models

from cereal_methods import model_task, task
from tests.shop.probe import mark

from . import readers
from .models import Parcel


def number_of(error: Any) -> list[Any]:
    """Decide for a row that is missing: return which it was."""
    return ["missing", error.references[0].pk]


def refuse(error: Any) -> None:
    """Decide for a row that is missing: fail in another way."""
    raise LookupError("nothing to do") from error


def ignore(error: Any) -> None:
    """Decide for a row that is missing: end without a result."""
    raise Ignore("nothing to do")


class DeadLetters(Task):  # type: ignore[type-arg]
    """Sends what has failed once more, to the task that looks after that."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Send the arguments as they are."""
        if not (self.request.headers or {}).get("again"):
            self.apply_async(
                self.request.args,
                self.request.kwargs,
                task_id=f"{task_id}-again",
                headers={"again": True},
            )
            json.dumps([args, kwargs])


class Auditing(Task):  # type: ignore[type-arg]
    """A task class as projects have them: it takes its own arguments away from the task's."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Add an argument."""
        kwargs["seen"] = kwargs.pop("tenant", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take an argument away."""
        self.user = kwargs.pop("async_user_id", None)
        return super().__call__(*args, **kwargs)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Make a key of the arguments, as packages that run a task once at a time do."""
        mark("key", key=json.dumps([args, kwargs], sort_keys=True), user=self.user)


class Job(models.Model):
    """A row whose methods have Celery's options."""

    number = models.CharField(max_length=20, default="7")
    tries = models.IntegerField(default=0)

    @model_task(
        autoretry_for=(Exception,),
        retry_kwargs={"countdown": 0, "max_retries": 2},
        select_for_update=True,
        base=readers.OfNothing,
        bind=True,
    )
    def retried(self, task: Any, fails: bool = True) -> int:
        """Fail until it was tried twice."""
        mark("begin", retries=task.request.retries)
        if fails and task.request.retries < 2:
            raise ValueError("not yet")
        return int(task.request.retries)

    @model_task(autoretry_for=(Exception,), on_missing="discard", select_related=True)
    def retried_or_discarded(self) -> None:
        """Never begin for a row that is gone."""
        mark("begin")

    @model_task(select_for_update=True, bind=True, acks_late=True)
    def requeued(self, task: Any) -> str:
        """Be delivered again, the first time."""
        redelivered = bool(task.request.delivery_info.get("redelivered"))
        mark("begin", redelivered=redelivered)
        Job.objects.filter(pk=self.pk).update(tries=models.F("tries") + 1)
        if not redelivered:
            raise Reject("once more", requeue=True)
        return "done"

    @model_task(bind=True, select_for_update=True, max_retries=1)
    def changed(self, task: Any, carrier: str = "dhl", *, express: bool = False) -> list[Any]:
        """Retry with other arguments."""
        if task.request.retries:
            return [self.pk, carrier, express]
        if carrier == "args":
            raise task.retry(args=["by args"], countdown=0)
        if carrier == "both":
            raise task.retry(args=("by both",), kwargs={"express": True}, countdown=0)
        raise task.retry(kwargs={"express": True}, countdown=0)

    @model_task(bind=True, select_for_update=True)
    def replaced(self, task: Any) -> Any:
        """Make a row, and let its method take this one's place."""
        self.tries += 1
        self.save()
        job = Job.objects.create(number=f"after {self.pk}")
        return task.replace(job.described.s())

    @model_task(bind=True, select_for_update=True)
    def replaced_by_two(self, task: Any) -> Any:
        """Make rows, and let a chain of their methods take this one's place."""
        self.tries += 1
        self.save()
        first, second = (Job.objects.create(number=each) for each in "ab")
        return task.replace(first.described.s() | second.described.s())

    @model_task
    def described(self, *before: Any) -> list[Any]:
        """Return the number and what came before."""
        return [self.number, *before]

    @model_task(select_for_update=True)
    def ended(self, by: str) -> None:
        """Write, and end in one of Celery's ways."""
        self.tries = 9
        self.save()
        mark("begin", locked=connection.in_atomic_block)
        raise {"ignore": Ignore("enough"), "reject": Reject("enough", requeue=False)}[by]

    @model_task(throws=(KeyError,), select_for_update=True)
    def throws(self) -> None:
        """Fail as expected."""
        raise KeyError("expected")

    @model_task(typing=False)
    def untyped(self, carrier: str) -> str:
        """Take arguments that nobody checks before they are sent."""
        return carrier

    @model_task(bind=True, select_for_update=True)
    def sent_again(self, task: Any, *args: Any, times: int = 1) -> list[Any]:
        """Send itself once more with the arguments of its message."""
        request = task.request
        if times and not (request.headers or {}).get("again"):
            sent = task.apply_async(
                request.args,
                {**request.kwargs, "times": 0},
                task_id=f"{request.id}-again",
                headers={"again": True},
            )
            return [sent.id]
        return [self.pk, [getattr(each, "pk", each) for each in args]]

    @model_task(base=DeadLetters, bind=True)
    def buried(self, task: Any, *args: Any, reason: str = "") -> Any:
        """Fail, and be sent once more by a hook."""
        if (task.request.headers or {}).get("again"):
            return [self.pk, [getattr(each, "pk", each) for each in args], reason]
        raise ValueError("buried")

    @model_task(pydantic=readers.HAS_PYDANTIC, select_related=True, on_missing="discard")
    def addressed(self, address: readers.Address, copies: int = 1) -> list[Any]:
        """Return what pydantic made."""
        return [self.number, address.city, copies]

    @model_task(base=Auditing, select_related=True)
    def audited(self, *args: Any, **named: Any) -> list[Any]:
        """Return the arguments that the task's class has left."""
        return [self.pk, [*args], named]

    @model_task(on_missing=number_of, select_for_update=True)
    def described_if_there(self) -> list[Any]:
        """Return the number, or which row is missing."""
        return ["there", self.pk]

    @model_task(on_missing=refuse)
    def refused_if_gone(self) -> None:
        """Fail in the project's own way for a row that is missing."""

    @model_task(on_missing=ignore)
    def ignored_if_gone(self) -> None:
        """End without a result for a row that is missing."""


@task(select_for_update=True, bind=True)
def add_to(self: Any, parcel: Parcel) -> int:
    """Add one to a row that is locked."""
    return parcel._add()


@task(manager="sent", on_missing="discard", select_related="sender", aliases=["watch.old_name"])
def ship(parcel: Parcel) -> list[Any]:
    """Return whether the sender came along."""
    mark("begin", has_sender="sender" in parcel._state.fields_cache)
    return [parcel.number]


@task(rows={"parcel": {"manager": "sent", "select_for_update": True}, "job": {}})
def both(parcel: Parcel, job: Job, *others: Any) -> list[Any]:
    """Take two rows, one of which is locked."""
    mark("begin", locked=connection.in_atomic_block)
    return [parcel.pk, job.pk, *(other.pk for other in others)]


@task(on_missing=number_of)
def describe(parcel: Parcel) -> list[Any]:
    """Return the number, or which row is missing."""
    return ["there", parcel.pk]


@task(rows={"parcel": {"on_missing": number_of}, "job": {"on_missing": ignore}})
def decide(parcel: Parcel, job: Job) -> str:
    """Decide for either row when it is missing."""
    return "there"


@shared_task(bind=True, base=Auditing)
def existing(self: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Do with a request what existing tasks do."""
    request = self.request
    more = request.args + ["more"]  # noqa: RUF005
    request.kwargs["changed"] = True
    request.kwargs.pop("changed")
    return [
        [*args],
        kwargs,
        json.loads(json.dumps(request.args)),
        len(more),
        json.loads(json.dumps(request.kwargs)),
        isinstance(request.args, list) and isinstance(request.kwargs, dict),
    ]


@shared_task(bind=True, base=DeadLetters)
def existing_dead_letter(self: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Fail once."""
    if (self.request.headers or {}).get("again"):
        return [[*args], kwargs]
    raise ValueError("buried")
