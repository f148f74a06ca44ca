"""The beginning and the end of a run, in a process that sees its database."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.chaos.settings")
django.setup()

from django.db import Error, connection  # noqa: E402
from django.db.models import Count  # noqa: E402

from cereal_methods.records.models import TaskRecord  # noqa: E402
from cereal_methods.records.relay import resend  # noqa: E402
from tests.bank.models import Account, Entry  # noqa: E402
from tests.chaos.models import Expected  # noqa: E402

#: For how long the workers may take to end what is left, in seconds.
PATIENCE = 240


def begin() -> None:
    """Make the accounts."""
    Account.objects.bulk_create(Account(name=str(number)) for number in range(20))


def end(sent_for: float) -> None:
    """Wait until all has ended, with what a broker has lost sent again; print what there is."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if not TaskRecord.objects.filter(state__in=["waiting", "sent", "running"]).exists():
                break
            resend("default", timedelta(seconds=sent_for))
        except Error:
            connection.close()
        time.sleep(1)
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
