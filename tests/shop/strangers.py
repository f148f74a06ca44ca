"""Rows that do all that a row of a batch can do to those beside it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from functools import cache
from typing import Any

from celery import Task
from celery.exceptions import Ignore, Reject
from django.conf import settings
from django.db import connection, models, transaction

from cereal_methods import model_task


@cache
def ledger() -> Any:
    """Return the Redis in which is counted what has run."""
    import redis  # worker tests alone have it

    return redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)


def count(what: str, key: Any) -> int:
    """Count that something has happened to a row; return how often it has."""
    return int(ledger().hincrby(f"strangers-{what}", key, 1))


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


class Reporter(Task):
    """A task whose hooks look at the row."""

    abstract = True

    def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> None:
        count("hook", kwargs["this"].pk)


class Stranger(models.Model):
    kind = models.CharField(max_length=20, default="good")
    seen = models.IntegerField(default=0)

    class Meta:
        app_label = "shop"

    @model_task(bind=True, base=Reporter, max_retries=1, default_retry_delay=0)
    def meet(self, task: Any) -> Any:
        """Do what its kind does."""
        return self._meet(task)

    @model_task(bind=True, base=Reporter, on_missing="discard")
    def meet_or_not(self, task: Any) -> Any:
        """Do the same, if the row is there."""
        return self._meet(task)

    @model_task(bind=True, base=Reporter, select_for_update={"nowait": True})
    def meet_now(self, task: Any) -> Any:
        """Do the same, later if the row is locked."""
        return self._meet(task)

    @model_task(bind=True, base=Reporter, select_for_update={"skip_locked": True})
    def meet_if_free(self, task: Any) -> Any:
        """Do the same, unless the row is locked."""
        return self._meet(task)

    @model_task(bind=True, base=Reporter, select_for_update={"batch": True})
    def meet_together(self, task: Any) -> Any:
        """Do the same, with all rows of a batch locked."""
        return self._meet(task)

    @model_task(bind=True, base=Reporter, acks_late=True, reject_on_worker_lost=True)
    def meet_late(self, task: Any) -> Any:
        """Do the same, and again if the process ends."""
        return self._meet(task)

    def _meet(self, task: Any) -> Any:
        times = count("run", self.pk)
        assert connection.get_autocommit() or connection.in_atomic_block
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            assert cursor.fetchone() == ("0",)
        return getattr(self, f"_be_{self.kind}")(task, times)

    def _be_good(self, task: Any, times: int) -> str:
        self.seen += 1
        self.save()
        return "met"

    def _be_failing(self, task: Any, times: int) -> None:
        raise ValueError("two\nlines")

    def _be_unspeakable(self, task: Any, times: int) -> None:
        raise Unspeakable

    def _be_unshowable(self, task: Any, times: int) -> None:
        raise ValueError(Unshowable())

    def _be_unencodable(self, task: Any, times: int) -> Any:
        return threading.Lock()

    def _be_cancelled(self, task: Any, times: int) -> None:
        raise asyncio.CancelledError

    def _be_leaving(self, task: Any, times: int) -> None:
        raise GeneratorExit

    def _be_open(self, task: Any, times: int) -> None:
        transaction.set_autocommit(False)

    def _be_setting(self, task: Any, times: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 1234")

    def _be_late(self, task: Any, times: int) -> str:
        if times == 1:
            raise task.retry(countdown=0)
        return "late"

    def _be_never(self, task: Any, times: int) -> None:
        raise task.retry(exc=KeyError("never"), countdown=0)

    def _be_replaced(self, task: Any, times: int) -> Any:
        if times == 1:
            return task.replace(self.meet.s())
        return "replaced"

    def _be_ignored(self, task: Any, times: int) -> None:
        raise Ignore("not today")

    def _be_rejected(self, task: Any, times: int) -> None:
        raise Reject("no", requeue=False)

    def _be_slow(self, task: Any, times: int) -> None:
        time.sleep(30)

    def _be_dead(self, task: Any, times: int) -> None:
        os._exit(1)

    def _be_deadly(self, task: Any, times: int) -> None:
        """Delete the next row."""
        Stranger.objects.filter(pk=self.pk + 1).delete()
