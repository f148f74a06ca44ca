"""The beginning and the end of a run, in a process that sees its database."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.chaos.settings")
django.setup()

from django.db import Error, connection  # noqa: E402
from django.db.models import Count, Q  # noqa: E402

from cereal_methods.records.models import TaskRecord  # noqa: E402
from cereal_methods.records.relay import resend  # noqa: E402
from tests.bank.models import Account, Entry  # noqa: E402
from tests.chaos.models import Expected  # noqa: E402

#: For how long the workers may take to end the next of the tasks that are left, in seconds.
PATIENCE = 120


def begin() -> None:
    """Make the accounts."""
    Account.objects.bulk_create(Account(name=str(number)) for number in range(20))


def open_records() -> Any:
    """Return what has not ended, and what is done but may have lost what follows it."""
    is_open = Q(state__in=["waiting", "sent", "running"])
    return TaskRecord.objects.filter(is_open | (Q(state="done") & ~Q(envelope="")))


def end(sent_for: float) -> None:
    """Wait until all has ended, with what a broker has lost sent again; print what there is."""
    left, since = None, time.monotonic()
    resent_at = since
    while time.monotonic() < since + PATIENCE:
        try:
            number = open_records().count()
            if number == left == 0:  # twice: the next step of a chain may be on its way
                break
            if left is None or number < left:
                left, since = number, time.monotonic()
            # Not while the workers have enough to do: the queue would grow by duplicates.
            elif time.monotonic() > max(since, resent_at) + sent_for:
                resend("default", timedelta(seconds=sent_for))
                resent_at = time.monotonic()
        except Error:
            connection.close()
        time.sleep(0.5)
    states = TaskRecord.objects.order_by().values_list("state").annotate(Count("pk"))
    json.dump(
        {
            "expected": list(Expected.objects.values_list("account_id", "amount")),
            "found": list(Entry.objects.values_list("account_id", "amount")),
            "states": dict(states),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    if sys.argv[1] == "begin":
        begin()
    else:
        end(float(sys.argv[2]))
