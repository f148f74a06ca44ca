"""A project on SQLite's files, one command a process: ``python -m`` this, and its name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import django

django.setup()

from celery import chain  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402

import tests.celery  # noqa: E402, F401
from cereal_methods.records.relay import resend  # noqa: E402
from tests.bank.models import Account  # noqa: E402

DATABASES = ("default", "archive")


def migrate() -> None:
    """Make the tables."""
    for alias in DATABASES:
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)


def send() -> None:
    """Send tasks of every kind, most of them in transactions."""
    with transaction.atomic():
        account = Account.objects.create()
        account.reject.delay(1)
        account.insist.delay(100, 2)
    accounts = [Account.objects.create() for _ in range(20)]
    for amount, each in enumerate(accounts):
        each.charge.delay(amount)
    chain(account.charge.s(200), account.add.s(1), account.add.s(1)).delay()
    account.charge.apply_async((300,), countdown=1)
    account.pay.delay(400)
    account.insist.delay(500, 1, countdown=1)
    with transaction.atomic():
        account.charge.delay(999)
        transaction.set_rollback(True)
    with transaction.atomic("archive"):
        other = Account.objects.using("archive").create()
        other.charge.delay(700)
    chain(account.charge.s(600), other.add.s(1)).delay()


def dawdle(amount: str, seconds: str) -> None:
    """Send a task that takes its time."""
    Account.objects.create().dawdle.delay(int(amount), float(seconds))


def again() -> None:
    """Send again what has not ended."""
    for alias in DATABASES:
        resend(alias, timedelta(0))


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    each.__name__: each for each in (migrate, send, dawdle, again)
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
