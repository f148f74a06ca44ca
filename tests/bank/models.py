"""Accounts, whose methods are durable, and entries, which are their effects."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from django.db import connection, models, transaction

from cereal_methods import model_task
from tests.shop.probe import mark


class Account(models.Model):
    name = models.CharField(max_length=50, default="")

    @model_task(durable=True)
    def charge(self, amount: int) -> int:
        """Enter an amount, once."""
        mark("begin", amount=amount)
        self.entries.create(amount=amount)
        return amount

    @model_task(durable=True)
    def add(self, previous: int, amount: int) -> int:
        """Enter what a task before it has returned, and an amount."""
        self.entries.create(amount=previous + amount)
        return previous + amount

    @model_task(durable=True)
    def collect(self, amounts: list[int]) -> int:
        """Enter the sum of what tasks before it have returned."""
        self.entries.create(amount=sum(amounts))
        return sum(amounts)

    @model_task(durable=True)
    def reject(self, amount: int) -> None:
        """Enter an amount, and fail."""
        self.entries.create(amount=amount)
        raise ValueError(f"{amount} is too much.")

    @model_task(durable=True)
    def reject_file(self) -> None:
        """Fail with a text that is no Unicode, as the names of some files."""
        raise ValueError("caf\udce9")

    @model_task(durable=True)
    def regret(self, task_id: str) -> None:
        """Enter that another task has failed: an errback."""
        self.entries.create(amount=-1)

    @model_task(durable=True, bind=True, max_retries=3)
    def insist(self, task: Any, amount: int, times: int, countdown: float = 0) -> int:
        """Enter an amount and retry so many times, and then stay."""
        self.entries.create(amount=amount)
        if task.request.retries < times:
            raise task.retry(countdown=countdown)
        return amount

    @model_task(durable=True)
    def die(self, amount: int, times: int) -> int:
        """Enter an amount, and end the process so many times."""
        mark("begin", amount=amount)
        self.entries.create(amount=amount)
        if times_begun(amount) <= times:
            os._exit(1)
        return amount

    @model_task(durable=True)
    def die_after(self, amount: int) -> int:
        """Enter an amount, and end the worker with its processes after the commit."""
        self.entries.create(amount=amount)
        mark("begin", amount=amount)
        transaction.on_commit(end_worker)
        return amount

    @model_task(durable=True)
    def dawdle(self, amount: int, seconds: float) -> int:
        """Enter an amount, and take some time."""
        mark("begin", amount=amount)
        self.entries.create(amount=amount)
        time.sleep(seconds)
        return amount

    @model_task(durable=True, atomic=False)
    def pay(self, amount: int, seconds: float = 0) -> int:
        """Enter an amount, which stays whatever becomes of the task."""
        mark("begin", amount=amount)
        with transaction.atomic():
            self.entries.create(amount=amount)
        time.sleep(seconds)
        return amount

    @model_task(durable=True)
    def itself(self) -> Account:
        """Return the row."""
        return self

    @model_task(durable=True, on_missing="discard")
    def close(self) -> None:
        """Close the account, if it is still there."""
        self.entries.create(amount=0)

    @model_task(durable=True, bind=True)
    def settle(self, task: Any, amount: int) -> int:
        """Enter an amount, and do what the account's name says."""
        return settle(self, task, amount)

    @model_task(durable=True, bind=True, atomic=False)
    def settle_alone(self, task: Any, amount: int) -> int:
        """Do the same without a transaction of the library's."""
        return settle(self, task, amount)

    @model_task(durable=True, bind=True, select_for_update={"nowait": True})
    def settle_locked(self, task: Any, amount: int) -> int:
        """Do the same on a locked row."""
        return settle(self, task, amount)

    @model_task(durable=True)
    @classmethod
    def audit(cls) -> int:
        """Count the accounts."""
        return cls._default_manager.count()

    @model_task(durable=True, bind=True)
    def hand_over(self, task: Any, amount: int) -> None:
        """Enter an amount, and let another durable task go on."""
        self.entries.create(amount=amount)
        raise task.replace(self.charge.s(amount + 1))

    @model_task(durable=True, bind=True)
    def hand_over_to_many(self, task: Any, amount: int) -> None:
        """Enter an amount, and let a chain go on whose steps are durable."""
        self.entries.create(amount=amount)
        raise task.replace(self.charge.s(amount + 1) | self.add.s(1))

    @model_task(durable=True, bind=True)
    def hand_over_to_plain(self, task: Any, amount: int) -> None:
        """Enter an amount, and let a chain go on whose first step is not durable."""
        self.entries.create(amount=amount)
        raise task.replace(self.plain.s(amount + 1) | self.add.s(1))

    @model_task
    def plain(self, amount: int) -> int:
        """Enter an amount, without a record."""
        self.entries.create(amount=amount)
        return amount


class Entry(models.Model):
    account = models.ForeignKey(Account, models.CASCADE, related_name="entries")
    amount = models.IntegerField()


def settle(account: Account, task: Any, amount: int) -> int:
    """Enter an amount, and do what the account's name says."""
    mark("begin", amount=account.pk)
    account.entries.create(amount=amount)
    what, _, number = account.name.partition(" ")
    if what == "fail":
        raise ValueError(f"{account.pk} is too much.")
    if what == "retry" and task.request.retries < int(number):
        raise task.retry(countdown=0)
    if what == "replace":
        raise task.replace(account.charge.s(amount + 1))
    if what == "die" and times_begun(account.pk) <= int(number):
        os._exit(1)
    if what == "orphan":
        Entry.objects.create(account_id=0, amount=amount)
    if what == "lose" and times_begun(account.pk) == 1:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION pg_temp.lose() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;"
                "CREATE TEMPORARY TABLE lost (id int);"
                "CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON lost DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION pg_temp.lose();"
                "INSERT INTO lost VALUES (1);"
            )
    if what == "query":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(%s)", [float(number)])
    if what == "sleep":
        time.sleep(float(number))
    return amount


def times_begun(amount: int) -> int:
    """Return how often a method has begun with an amount, in all processes of a worker."""
    lines = Path(os.environ["TEST_PROBE"]).read_text().splitlines()
    return sum(line.get("amount") == amount for line in map(json.loads, lines))


def end_worker() -> None:
    """End a prefork worker and this process of its pool, as the end of the machine would."""
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(1)
