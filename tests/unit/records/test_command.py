"""``manage.py task_records`` shows and steers durable tasks."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from cereal_methods.records.models import State, TaskRecord

from .messages import sent

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def run(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command("task_records", *arguments, stdout=out, **options)
    return out.getvalue()


def record(state: str, name: str = "", **values: Any) -> TaskRecord:
    values = {"envelope": "[]", "task": "bank.charge", **values}
    return TaskRecord.objects.create(pk=name or state, state=state, **values)


def test_it_lists_the_newest_first() -> None:
    now = timezone.now()
    record("failed", created_at=now - timedelta(hours=1), error="ValueError: no\nmore")
    record("done", created_at=now, model="bank.Account", row="5")
    first, second = run().splitlines()
    assert first == f"done done     {now.isoformat():.19} bank.charge bank.Account 5"
    assert second.endswith("bank.charge: ValueError: no")


def test_it_lists_for_programs() -> None:
    record("failed", error="ValueError: no")
    record("done")
    (found,) = json.loads(run("--state", "failed", "--json"))
    assert (found["id"], found["database"], found["error"]) == (
        "failed",
        "default",
        "ValueError: no",
    )


def test_it_counts() -> None:
    for state in State.values:
        record(state)
    assert json.loads(run("count", "--json")) == {**dict.fromkeys(State.values, 1), "unsent": 0}
    assert run("count").splitlines()[0] == "waiting           1"


def test_counting_fails_where_tasks_wait_unsent() -> None:
    record("waiting", send_at=timezone.now() - timedelta(seconds=90))
    with pytest.raises(CommandError, match="1 task should have been sent a minute ago"):
        run("count")


def test_it_retries_and_cancels_what_is_named() -> None:
    for state in ("failed", "canceled", "waiting", "sent"):
        record(state)
    assert run("retry", "failed") == "1 task will run again.\n"
    assert run("cancel", "--state", "sent") == "1 task will not run.\n"
    states = dict(TaskRecord.objects.values_list("pk", "state"))
    assert states["failed"] == State.WAITING
    assert states["sent"] == State.CANCELED
    assert states["waiting"] == State.WAITING


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_leaving_out_an_option_never_changes_every_task(action: str) -> None:
    record("failed")
    record("waiting")
    with pytest.raises(CommandError, match="or give --all"):
        run(action)
    assert "1 task" in run(action, "--all")


def test_it_purges_by_the_setting_or_by_age(settings: Any) -> None:
    record("done", ended_at=timezone.now() - timedelta(days=8))
    record("failed", ended_at=timezone.now() - timedelta(days=8))
    record("done", "recent", ended_at=timezone.now() - timedelta(days=2))
    assert run("purge") == "1 task deleted.\n"
    assert run("purge", "--older-than", "1") == "1 task deleted.\n"
    assert TaskRecord.objects.get().state == State.FAILED


def test_it_sends_what_is_due() -> None:
    from tests.bank.models import Account

    account = Account.objects.create()
    sent()
    account.charge.apply_async((1,), countdown=60)
    assert run("send") == "0 tasks sent.\n"
    TaskRecord.objects.update(send_at=timezone.now())
    assert run("send") == "1 task sent.\n"
    assert len(sent()) == 1


def test_it_sends_again_what_a_broker_has_lost() -> None:
    record("sent", sent_at=timezone.now() - timedelta(seconds=90))
    with pytest.raises(CommandError, match="Give --sent-for"):
        run("resend")
    assert run("resend", "--sent-for", "100") == "0 tasks sent again.\n"
    assert run("resend", "--sent-for", "60") == "1 task sent again.\n"
