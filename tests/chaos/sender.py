"""A process that commits transactions with durable tasks in them, and rolls a tenth back.

It is killed at any moment and started again, and goes on after the number that it was at.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.chaos.settings")
django.setup()

from celery import chain  # noqa: E402
from django.db import Error, connection, transaction  # noqa: E402

import tests.celery  # noqa: E402, F401
from tests.bank.models import Account  # noqa: E402
from tests.chaos.models import Expected  # noqa: E402

#: How many effects one transaction may have.
STEP = 10


class _RolledBack(Exception):
    """A transaction that asks for tasks, and changes its mind."""


def main(progress: Path, number: int, count: int, seed: int, pause: float) -> None:
    """Commit ``count`` transactions, whose amounts no other sender uses."""
    accounts = list(Account.objects.order_by("pk"))
    begun = int(progress.read_text() or 0) if progress.exists() else 0
    for at in range(begun, count):
        # At once, or a sender that is killed here would begin anew.
        written = progress.with_suffix(".written")
        written.write_text(str(at + 1))
        written.replace(progress)
        rng = random.Random(f"{seed}/{number}/{at}")
        first = (number * count + at) * STEP
        try:
            with transaction.atomic():
                _ask(rng, accounts, first)
                if rng.random() < 0.1:
                    raise _RolledBack
        except _RolledBack:
            pass
        except Error as error:  # the database is away: this one has not committed, or has
            print(f"{number}/{at}: {error}", flush=True)
            connection.close()
            time.sleep(0.5)
        time.sleep(rng.random() * pause)


def _ask(rng: random.Random, accounts: list[Account], first: int) -> None:
    account = rng.choice(accounts)
    kind = rng.random()
    if kind < 0.7:
        account.charge.delay(first)
        _expect((account, first))
    elif kind < 0.8:
        chain(account.charge.s(first), account.add.s(1), account.add.s(1)).delay()
        _expect(*((account, first + step) for step in range(3)))
    elif kind < 0.9:
        options = rng.choice([{}, {"batch_size": 2}])
        Account.charge.bulk_apply_async(accounts[:4], (first,), **options)
        _expect(*((each, first) for each in accounts[:4]))
    else:
        account.insist.delay(first, 1, countdown=rng.choice([0, 1]))
        _expect((account, first))


def _expect(*effects: tuple[Account, int]) -> None:
    Expected.objects.bulk_create(
        Expected(account_id=account.pk, amount=amount) for account, amount in effects
    )


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]),
        float(sys.argv[5]),
    )
