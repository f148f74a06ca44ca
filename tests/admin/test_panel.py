"""Method tasks on the page of an object."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from celery.app.task import Context
from celery.exceptions import Retry
from celery.states import FAILURE, RETRY, SUCCESS
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_results.backends import DatabaseBackend

from cereal_methods import BulkResult
from cereal_methods.records.models import TaskRecord

from .conftest import LIST, boxes, client_of, rows_in, run_id, told, user_with
from .models import Box, Parcel

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def box(db: None) -> Box:
    return boxes(1)[0]


def change(client: Client, box: Box, **query: Any) -> str:
    page: str = client.get(f"{LIST}{box.pk}/change/", query).content.decode()
    return page


def url(box: Box, name: str) -> str:
    return f"{LIST}{box.pk}/model-tasks/{name}/"


def test_the_page_has_a_button_for_each_task(clerk: Client, box: Box) -> None:
    page = change(clerk, box)

    assert '<h2 id="model-task-panel">Tasks</h2>' in page
    assert f'<form method="post" action="{url(box, "weigh")}" data-model-task>' in page
    assert f'<a class="button" href="{url(box, "ship")}">Ship selected boxes…</a>' in page
    assert url(box, "move") not in page
    assert url(box, "burn") not in page


def test_a_new_object_and_a_pop_up_have_no_panel(admin_client: Client, box: Box) -> None:
    assert "model-task-panel" not in admin_client.get(f"{LIST}add/").content.decode()
    assert "model-task-panel" not in change(admin_client, box, _popup=1)
    assert "model-task-panel" in change(admin_client, box)


def test_a_custom_template_of_the_project_is_kept(
    admin_client: Client, box: Box, tmp_path: Any, settings: Any
) -> None:
    own = tmp_path / "admin/warehouse/box/change_form.html"
    own.parent.mkdir(parents=True)
    own.write_text(
        '{% extends "admin/change_form.html" %}{% block form_top %}our own{% endblock %}'
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]

    page = change(admin_client, box)

    assert "our own" in page
    assert "model-task-panel" in page


def test_a_method_is_sent_for_the_object(clerk: Client, box: Box, sent: Any) -> None:
    response = clerk.post(url(box, "weigh"))

    (message,) = sent()
    assert rows_in(message) == [box.pk]
    assert told(response) == ["“Weigh” was sent for 1 box."]
    bulk_id = run_id(response)
    result = BulkResult.restore(bulk_id)
    assert result is not None
    assert result.total == 1
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.object_repr) == (str(box.pk), "box 1")
    assert entry.change_message == f"Sent “Weigh” (run {bulk_id})."


def test_a_get_request_sends_nothing(clerk: Client, box: Box, sent: Any) -> None:
    page = clerk.get(url(box, "weigh")).content.decode()

    assert sent() == []
    assert "A worker will run it for <strong>box 1</strong>." in page
    assert 'value="Run"' in page


def test_arguments_are_asked_for(clerk: Client, box: Box, sent: Any) -> None:
    assert 'name="argument-carrier"' in clerk.get(url(box, "ship")).content.decode()
    assert "Please correct" in clerk.post(url(box, "ship"), {"post": "yes"}).content.decode()
    assert sent() == []

    clerk.post(url(box, "ship"), {"post": "yes", "argument-carrier": "dhl", "argument-days": "1"})

    (message,) = sent()
    assert message.decode()[1].with_references()["carrier"] == "dhl"


def test_a_post_without_the_form_asks_first(admin_client: Client, box: Box, sent: Any) -> None:
    page = admin_client.post(url(box, "burn")).content.decode()

    assert "<p>Are you sure?</p>" in page
    assert sent() == []


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_method_that_is_not_allowed_is_refused(method: str, box: Box, sent: Any) -> None:
    viewer = client_of(user_with("view"))

    assert getattr(viewer, method)(url(box, "weigh")).status_code == 403
    assert getattr(viewer, method)(url(box, "forget")).status_code in (200, 302)
    assert getattr(client_of(user_with(name="b")), method)(url(box, "forget")).status_code == 403
    assert getattr(viewer, method)(url(box, "save")).status_code == 404
    assert getattr(viewer, method)(url(box, "odd")).status_code == 404


def test_an_object_that_a_user_does_not_see_is_not_found(sent: Any) -> None:
    (hidden,) = boxes(1, owner="x")
    narrow = client_of(user_with("view", "change", name="narrow"))

    assert narrow.post(url(hidden, "weigh")).url == "/admin/"
    assert sent() == []


def test_a_permission_may_depend_on_the_object(
    clerk: Client, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_change_permission(self: Any, request: Any, obj: Any = None) -> bool:
        return obj is None or obj.owner == "mine"

    monkeypatch.setattr("tests.admin.admin.BoxAdmin.has_change_permission", has_change_permission)
    (mine,), (other,) = boxes(1, owner="mine"), boxes(1, owner="other")

    assert url(mine, "weigh") in change(clerk, mine)
    assert url(other, "weigh") not in change(clerk, other)
    assert clerk.post(url(other, "weigh")).status_code == 403
    assert clerk.post(url(mine, "weigh")).status_code == 302


def test_a_token_is_needed(box: Box, sent: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user_with("view", "change"))

    assert client.post(url(box, "weigh")).status_code == 403
    assert sent() == []


@pytest.fixture
def store(django_backend: DatabaseBackend) -> Any:
    """Store results as workers do, in each serializer."""

    def store_result(
        task: str, kwargs: str, result: Any = None, state: str = SUCCESS, args: str = "()"
    ) -> None:
        context = Context(task=task, kwargsrepr=kwargs, argsrepr=args, hostname="w")
        task_id = f"{task}-{args}-{kwargs}-{state}"
        django_backend.store_result(task_id, result, state, request=context, traceback="")

    return store_result


WEIGH = "tests.admin.models.Box.weigh"
SEAL = "tests.admin.models.Parcel.seal"


def rows_of_history(page: str) -> list[str]:
    """Return the texts of the table of last runs, a line a row, without dates."""
    table = page.partition("Last runs")[2].partition("</tbody>")[0].partition("<tbody>")[2]
    lines = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in table.split("</tr>")]
    return [" | ".join(line) for line in lines if line]


def test_the_last_runs_of_the_object_are_shown(clerk: Client, box: Box, store: Any) -> None:
    store(WEIGH, f"{{'this': <warehouse.Box {box.pk}>}}")
    store(WEIGH, f"{{'this': <warehouse.Box {box.pk}1>}}")
    store(WEIGH, "{}", args=f"(<warehouse.Box {box.pk}>, 'dhl')")
    store(WEIGH, "{}", args=f"(<warehouse.Box {box.pk}1>, 'dhl')")
    store(WEIGH, "{'this': <warehouse.Box 3 rows>}")
    store("tests.admin.models.Box.burn", f"{{'this': <warehouse.Box {box.pk}>}}")
    plain = f"{{'this': {{'cereal_methods.reference': ['warehouse.Box', {box.pk}, 'default']}}}}"
    store(WEIGH, plain, ValueError("too <heavy>"), FAILURE)
    store(WEIGH, plain, Retry("later", ValueError("not yet")), RETRY)

    shown = rows_of_history(change(clerk, box))

    assert shown[0].startswith("Weigh | RETRY | ")
    assert shown[1:] == [
        "Weigh | FAILURE | ValueError: too &lt;heavy&gt;",
        "Weigh | SUCCESS | ",
        "Weigh | SUCCESS | ",
    ]


def test_a_row_among_the_arguments_of_another_is_not_a_run(
    clerk: Client, box: Box, store: Any
) -> None:
    shown, other = f"<warehouse.Box {box.pk}>", f"<warehouse.Box {box.pk}1>"
    plain = f"{{'cereal_methods.reference': ['warehouse.Box', {box.pk}, 'default']}}"
    store(WEIGH, "{}", ValueError("a secret"), FAILURE, args=f"({other}, {shown})")
    store(WEIGH, f"{{'this': {other}, 'beside': {shown}}}", ValueError("a secret"), FAILURE)
    store(WEIGH, f"{{'beside': {plain}, 'this': {other}}}", ValueError("a secret"), FAILURE)
    store(WEIGH, f"{{'this': {other}, 'note': \"'this': {shown}\"}}", args=f"('see {shown}',)")

    assert rows_of_history(change(clerk, box)) == []


def test_without_runs_the_panel_says_so(clerk: Client, box: Box) -> None:
    assert "No runs yet." in change(clerk, box)


def test_a_record_that_cannot_be_read_is_left_out(clerk: Client, box: Box, store: Any) -> None:
    from django_celery_results.models import TaskResult

    store(WEIGH, f"{{'this': <warehouse.Box {box.pk}>}}")
    TaskResult.objects.update(task_kwargs="rubbish", content_encoding="binary")

    assert "No runs yet." in change(clerk, box)


def test_without_django_celery_results_there_is_no_list(clerk: Client, box: Box) -> None:
    from django.conf import settings

    without = [name for name in settings.INSTALLED_APPS if name != "django_celery_results"]
    with override_settings(INSTALLED_APPS=without):
        page = change(clerk, box)

    assert "model-task-panel" in page
    assert "runs" not in page.partition('id="model-task-panel"')[2]


def record(parcel: Parcel, name: str, minutes: int = 0, **values: Any) -> TaskRecord:
    """Insert a record of a parcel's durable method, of some minutes ago."""
    at = timezone.now() - timedelta(minutes=minutes)
    row: dict[str, Any] = {"model": "warehouse.Parcel", "row": str(parcel.pk), "created_at": at}
    return TaskRecord.objects.create(pk=name, **{"task": SEAL, **row, **values})


def page_of(client: Client, parcel: Parcel) -> str:
    page: str = client.get(f"/admin/warehouse/parcel/{parcel.pk}/change/").content.decode()
    return page


def test_durable_runs_are_listed_by_their_records(admin_client: Client) -> None:
    """The newest first, and neither those of other rows nor those of methods not offered."""
    parcel, other = Parcel.objects.create(), Parcel.objects.create()
    record(parcel, "a", 2, state="failed", error="ValueError: too <heavy>")
    record(parcel, "b", 1, state="waiting")
    record(other, "c", state="done")
    record(parcel, "d", state="done", task="tests.admin.models.Parcel.open")

    assert rows_of_history(page_of(admin_client, parcel)) == [
        "Seal | Waiting | ",
        "Seal | Failed | ValueError: too &lt;heavy&gt;",
    ]


def test_records_are_found_with_one_query_of_an_index(admin_client: Client) -> None:
    parcel = Parcel.objects.create()
    for number in range(20):
        record(parcel, str(number), number, state="done")

    with CaptureQueriesContext(connection) as queries:
        assert len(rows_of_history(page_of(admin_client, parcel))) == 10

    (query,) = [query["sql"] for query in queries if "cereal_records" in query["sql"]]
    assert not any("taskresult" in query["sql"] for query in queries)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query}")
        plan = " ".join(str(line) for line in cursor.fetchall())
    assert "USING INDEX cereal_records_row (model=? AND row=?)" in plan


def test_records_need_no_result_backend(db: None) -> None:
    from django.conf import settings

    clerk = user_with()
    clerk.user_permissions.set(Permission.objects.filter(codename="change_parcel"))
    parcel = Parcel.objects.create()
    record(parcel, "a", state="done")
    without = [name for name in settings.INSTALLED_APPS if name != "django_celery_results"]
    with override_settings(INSTALLED_APPS=without):
        assert rows_of_history(page_of(client_of(clerk), parcel)) == ["Seal | Done | "]


def test_a_durable_method_is_sent_with_a_message_for_each_row(
    admin_client: Client, sent: Any
) -> None:
    parcels = [Parcel.objects.create() for _ in range(150)]
    admin_client.post(
        "/admin/warehouse/parcel/",
        {"action": "seal", "_selected_action": [parcel.pk for parcel in parcels], "index": 0},
    )

    assert len(sent()) == 150
    assert TaskRecord.objects.for_instance(parcels[0]).count() == 1
    assert TaskRecord.objects.filter(row=str(parcels[1].pk)).count() == 1
