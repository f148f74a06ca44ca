"""The page of records in Django's admin."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cereal_methods.records.models import State, TaskRecord

from .conftest import client_of, told
from .models import Parcel

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

PAGE = "/admin/cereal_records/taskrecord/"
SEAL = "tests.admin.models.Parcel.seal"


def record(state: str, name: str = "", using: str = "default", **values: Any) -> TaskRecord:
    values = {"envelope": "[]", "task": SEAL, "state": state, **values}
    return TaskRecord.objects.using(using).create(pk=name or state, **values)


def watcher(*permissions: str, name: str = "watcher") -> Client:
    """Return a client of a user with permissions for records."""
    user = User.objects.create(username=name, is_staff=True)
    for permission in permissions:
        user.user_permissions.add(Permission.objects.get(codename=permission))
    return client_of(user)


def text(page: Any) -> str:
    """Return a page's text, without tags and line ends."""
    plain = re.sub(r"<[^>]+>", " ", page.content.decode())
    return " ".join(unescape(plain).split())


def act(client: Client, action: str, *names: str, **query: str) -> Any:
    where = "&".join(f"{name}={value}" for name, value in query.items())
    data = {"action": action, "_selected_action": names, "index": 0}
    return client.post(f"{PAGE}?{where}", data)


def state_of(name: str, using: str = "default") -> str:
    return TaskRecord.objects.using(using).get(pk=name).state


def listed(page: Any) -> list[str]:
    """Return the ids of the records that a list shows."""
    return re.findall(r'name="_selected_action" value="([^"]+)"', page.content.decode())


def test_the_list_shows_state_task_row_error_and_age(admin_client: Client) -> None:
    record(
        "failed",
        model="warehouse.Parcel",
        row="5",
        error="ValueError: too <heavy>\nmore",
        created_at=timezone.now() - timedelta(hours=3, minutes=1),
    )

    shown = text(admin_client.get(PAGE)).replace("\xa0", " ")

    assert f"failed Failed {SEAL} warehouse.Parcel 5 ValueError: too <heavy> 3 hours, 1 minute" in (
        shown
    )


def test_the_top_counts_records_by_state(admin_client: Client) -> None:
    for number in range(3):
        record("done", f"done-{number}")
    record("failed")

    page = admin_client.get(PAGE)

    assert "Waiting 0 · Sent 0 · Running 0 · Done 3 · Failed 1 · Canceled 0 · Expired 0" in text(
        page
    )
    assert '<a href="?state__exact=failed">Failed</a> 1' in page.content.decode()


def test_the_top_counts_unsent_records(admin_client: Client) -> None:
    record("waiting", send_at=timezone.now() - timedelta(seconds=90))
    record("waiting", "later")

    page = admin_client.get(PAGE)

    assert "Expired 0 · Unsent for a minute 1" in text(page)
    assert '<a href="?unsent=1">Unsent for a minute</a> 1' in page.content.decode()


def test_the_number_of_queries_does_not_grow_with_the_list(admin_client: Client) -> None:
    numbers = []
    for start in (0, 40):
        for number in range(start, start + 5):
            record("done", str(number), model="warehouse.Parcel", row=str(number))
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(PAGE)
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]
    assert not any('"body"' in query["sql"] for query in queries)


def test_a_row_is_linked_for_users_who_may_view_it(admin_client: Client) -> None:
    parcel = Parcel.objects.create()
    record("done", model="warehouse.Parcel", row=str(parcel.pk))
    link = f'<a href="/admin/warehouse/parcel/{parcel.pk}/change/">warehouse.Parcel {parcel.pk}</a>'

    assert link in admin_client.get(PAGE).content.decode()
    assert link in admin_client.get(f"{PAGE}done/change/").content.decode()
    assert link not in watcher("view_taskrecord").get(PAGE).content.decode()


@pytest.mark.parametrize("model", ["warehouse.Gone", "nonsense", "auth.Permission", ""])
def test_a_row_without_a_page_is_text(admin_client: Client, model: str) -> None:
    record("done", model=model, row="5")

    page = admin_client.get(PAGE).content.decode()

    assert f'<td class="field-row">{f"{model} 5".strip()}</td>' in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state__exact=failed", ["failed"]),
        (f"task={SEAL}", ["failed", "waiting"]),
        ("unsent=1", ["waiting"]),
        ("q=failed", ["failed"]),
        ("q=warehouse.Parcel+5", ["failed"]),
        ("q=heavy", ["failed"]),
        ("q=other", ["done"]),
    ],
)
def test_records_are_filtered_and_searched(
    admin_client: Client, query: str, names: list[str]
) -> None:
    now = timezone.now()
    record("failed", model="warehouse.Parcel", row="5", error="too heavy")
    record("waiting", send_at=now - timedelta(seconds=90))
    record("done", task="other.task")

    assert sorted(listed(admin_client.get(f"{PAGE}?{query}"))) == names


def test_failed_tasks_are_retried(admin_client: Client) -> None:
    for state in ("failed", "canceled", "expired", "done", "sent"):
        record(state)

    response = act(admin_client, "retry", "failed", "canceled", "expired", "done", "sent")

    assert told(response) == [
        "3 tasks will run again.",
        "2 tasks were not changed. A task can be retried if it is failed, canceled or "
        "expired and has its message.",
    ]
    assert TaskRecord.objects.waiting().count() == 3
    assert state_of("done") == State.DONE
    entry = LogEntry.objects.get()
    assert (entry.change_message, entry.object_repr) == ("3 tasks will run again.", "task records")


def test_tasks_that_have_not_started_are_canceled(admin_client: Client) -> None:
    record("waiting")
    record("done")

    response = act(admin_client, "cancel", "waiting", "done")

    assert told(response) == [
        "1 task is canceled.",
        "1 task was not changed. A task can be canceled until it starts.",
    ]
    assert state_of("waiting") == State.CANCELED


def test_unchanged_records_are_not_logged(admin_client: Client) -> None:
    record("done")

    act(admin_client, "cancel", "done")

    assert not LogEntry.objects.exists()


def test_users_who_may_only_view_cannot_change_records(client: Client) -> None:
    record("failed")
    viewer = watcher("view_taskrecord")

    assert "failed" in text(viewer.get(PAGE))
    assert 'value="retry"' not in viewer.get(PAGE).content.decode()
    act(viewer, "retry", "failed")
    assert state_of("failed") == State.FAILED


def test_changing_records_needs_the_change_permission() -> None:
    record("failed")

    act(watcher("change_taskrecord"), "retry", "failed")

    assert state_of("failed") == State.WAITING


def test_without_a_permission_there_is_no_page() -> None:
    record("failed")

    assert watcher().get(PAGE).status_code == 403


def test_a_record_is_read_only(admin_client: Client) -> None:
    record("failed", traceback="Traceback: in seal", body=b"a secret")

    page = admin_client.get(f"{PAGE}failed/change/")

    assert "Traceback: in seal" in text(page)
    assert "a secret" not in text(page)
    assert 'name="_save"' not in page.content.decode()
    assert admin_client.post(f"{PAGE}failed/change/", {"state": "done"}).status_code == 403
    assert admin_client.get(f"{PAGE}add/").status_code == 403
    assert admin_client.post(f"{PAGE}failed/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in admin_client.get(PAGE).content.decode()


def test_records_of_another_database_are_shown_and_changed(admin_client: Client) -> None:
    record("failed", "here")
    record("failed", "there", using="archive")

    page = admin_client.get(f"{PAGE}?database=archive")

    assert listed(page) == ["there"]
    assert 'href="?database=archive&amp;state__exact=failed"' in page.content.decode()
    (link,) = re.findall(r'<a href="([^"]+)">there</a>', page.content.decode())
    assert "there" in text(admin_client.get(unescape(link)))
    act(admin_client, "retry", "there", database="archive")
    assert state_of("there", "archive") == State.WAITING
    assert state_of("here") == State.FAILED


def test_a_database_without_records_is_not_queried(admin_client: Client) -> None:
    record("failed")

    assert listed(admin_client.get(f"{PAGE}?database=nowhere", follow=True)) == ["failed"]
