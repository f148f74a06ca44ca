"""The page of a run, and what each user sees there."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from celery.states import SUCCESS
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cereal_methods import BulkResult
from tests.celery import app

from .conftest import LIST, act, boxes, client_of, complete, run_id, told, user_with
from .models import Box, Crate

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(clerk: Client, sent: Any) -> str:
    """The id of a run of the clerk's for five boxes, of which nothing is completed."""
    return run_id(act(clerk, "weigh", boxes(5)))


def page(client: Client, bulk_id: Any) -> Any:
    return client.get(reverse("admin:warehouse_box_model_task_run", args=[bulk_id]))


def progress(client: Client, bulk_id: Any) -> Any:
    return client.get(reverse("admin:warehouse_box_model_task_progress", args=[bulk_id]))


def fail(bulk_id: str) -> list[Box]:
    """Complete a run with one failed row and one that is missing, and return these two."""
    newest = list(Box.objects.order_by("-pk"))
    gone = newest[3]
    complete(
        bulk_id,
        (1, "failed", newest[1].pk, "ValueError: <b>too heavy</b>"),
        (3, "missing", gone.pk, "Box.DoesNotExist: gone"),
    )
    Box.objects.filter(pk=gone.pk).delete()
    return [newest[1], gone]


def test_a_run_that_has_begun(clerk: Client, run: str) -> None:
    assert progress(clerk, run).json() == {
        "total": 5,
        "completed": 0,
        "is_complete": False,
        "status": "0 of 5 completed (0 %)",
        "numbers": {"succeeded": "0", "failed": "0", "missing": "0", "waiting": "5"},
        "also": "",
        "wrong": [],
        "failures": [],
        "more": "",
    }


def test_a_run_that_is_complete(clerk: Client, run: str) -> None:
    bad, gone = fail(run)

    assert progress(clerk, run).json() == {
        "total": 5,
        "completed": 5,
        "is_complete": True,
        "status": "5 of 5 completed (100 %)",
        "numbers": {"succeeded": "3", "failed": "1", "missing": "1", "waiting": "0"},
        "also": "",
        "wrong": ["failed", "missing"],
        "failures": [
            {
                "text": f"box {bad.number}",
                "url": f"{LIST}{bad.pk}/change/",
                "error": "ValueError: <b>too heavy</b>",
            },
            {"text": f"Box {gone.pk}", "url": "", "error": "Box.DoesNotExist: gone"},
        ],
        "more": "",
    }


def test_the_page_shows_the_progress(clerk: Client, run: str) -> None:
    shown = page(clerk, run).content.decode()

    assert '<progress max="5" value="0" aria-labelledby="model-task-status"' in shown
    assert "0 of 5 completed (0 %)" in shown
    assert "cereal_methods/admin/run.js" in shown
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in shown
    assert f"Run {run}, started by clerk: " in shown


def test_the_page_of_a_complete_run_does_not_poll(clerk: Client, run: str) -> None:
    bad, _ = fail(run)

    shown = page(clerk, run).content.decode()

    assert "5 of 5 completed (100 %)" in shown
    assert f'<a href="{LIST}{bad.pk}/change/">box {bad.number}</a>' in shown
    assert "ValueError: &lt;b&gt;too heavy&lt;/b&gt;" in shown
    assert "run.js" not in shown
    assert "refresh" not in shown


def test_the_page_has_no_inline_script_or_style(clerk: Client, run: str) -> None:
    shown = page(clerk, run).content.decode()
    asked = act(clerk, "ship", boxes(1)).content.decode()

    for text in (shown, asked):
        assert "<style" not in text
        assert "style=" not in text
        assert "onclick" not in text
        assert text.count("<script") == text.count("<script src=")


def test_the_page_is_found_in_another_process(clerk: Client, run: str) -> None:
    restored = BulkResult.restore(run)

    assert restored is not None
    assert restored.total == 5
    assert page(client_of(user_with("view", name="other")), run).status_code == 200


@pytest.mark.parametrize("view", [page, progress])
def test_a_run_is_shown_to_users_who_may_view_the_model(view: Any, run: str) -> None:
    assert view(client_of(user_with(name="nobody")), run).status_code == 403
    assert view(client_of(user_with("view", name="viewer")), run).status_code == 200
    assert view(Client(), run).status_code == 302  # to the login


def test_the_run_of_another_model_is_not_found(admin_client: Client, run: str, sent: Any) -> None:
    crate = Crate.objects.create()
    other = admin_client.post(
        "/admin/warehouse/crate/",
        {"action": "close", "_selected_action": [str(crate.pk)], "index": 0},
    ).url.split("/")[-2]

    assert progress(admin_client, other).status_code == 404
    assert progress(admin_client, run).status_code == 200
    assert page(admin_client, other).url == LIST


@pytest.mark.parametrize("bulk_id", [uuid.uuid4()])
def test_a_run_that_is_not_known_leads_to_the_list(clerk: Client, bulk_id: Any) -> None:
    response = page(clerk, bulk_id)

    assert response.url == LIST
    assert told(response) == [f"Run {bulk_id} does not exist, or its results have expired."]
    assert progress(clerk, bulk_id).status_code == 404


def test_a_bulk_that_was_not_sent_from_the_admin_is_not_a_run(clerk: Client, sent: Any) -> None:
    result = Box.weigh.bulk_delay(boxes(2))
    result.save()

    assert page(clerk, result.id).url == LIST


def test_the_result_of_a_task_is_not_a_run(clerk: Client) -> None:
    task_id = str(uuid.uuid4())
    app.backend.store_result(task_id, [1, 2], SUCCESS)

    assert page(clerk, task_id).url == LIST


def test_errors_of_rows_are_shown_to_users_who_may_view_them(clerk: Client, run: str) -> None:
    bad, gone = fail(run)
    Box.objects.filter(pk=bad.pk).update(owner="x")
    viewer = client_of(user_with("view", name="viewer"))
    narrow = client_of(user_with("view", name="narrow"))

    answers = [progress(client, run).json() for client in (clerk, viewer, narrow)]

    assert [[row["text"] for row in answer["failures"]] for answer in answers] == [
        [f"box {bad.number}", f"Box {gone.pk}"],
        [f"box {bad.number}"],
        [],
    ]
    assert [answer["more"] for answer in answers] == [
        "",
        "1 more row is not shown.",
        "2 more rows are not shown.",
    ]


def test_a_hundred_failures_are_shown(clerk: Client, sent: Any) -> None:
    rows = boxes(100) + boxes(5)
    bulk_id = run_id(act(clerk, "weigh", rows))
    keys = list(Box.objects.order_by("-pk").values_list("pk", flat=True))
    result = BulkResult.restore(bulk_id)
    assert result is not None
    assert result.messages == 53
    for number in range(53):
        complete_batch(bulk_id, number, keys[number * 2 : number * 2 + 2])

    shown = progress(clerk, bulk_id).json()

    assert len(shown["failures"]) == 100
    assert shown["more"] == "5 more rows are not shown."


def test_failures_after_the_first_hundred_are_shown_to_users_who_may_view_them(
    clerk: Client, sent: Any
) -> None:
    rows = boxes(105)
    bulk_id = run_id(act(clerk, "weigh", rows))
    keys = list(Box.objects.order_by("-pk").values_list("pk", flat=True))
    result = BulkResult.restore(bulk_id)
    assert result is not None
    for number in range(result.messages):
        complete_batch(bulk_id, number, keys[number * 2 : number * 2 + 2])
    Box.objects.filter(pk__in=keys[:102]).update(owner="x")

    shown = progress(client_of(user_with("view", name="narrow")), bulk_id).json()

    assert len(shown["failures"]) == 3
    assert shown["more"] == "102 more rows are not shown."


def complete_batch(bulk_id: str, number: int, keys: list[int]) -> None:
    """Store what a worker would have, had all rows of a batch failed."""
    from cereal_methods.results.ids import failure_record_id, message_id
    from cereal_methods.results.outcome import OUTCOME

    task_id = message_id(bulk_id, number)
    failed = [[position, key, "ValueError: bad"] for position, key in enumerate(keys)]
    if len(keys) == 1:
        app.backend.store_result(
            failure_record_id(task_id), ["failed", keys, "ValueError: bad"], SUCCESS
        )
        app.backend.store_result(task_id, ValueError("bad"), "FAILURE")
    else:
        outcome = {OUTCOME: [len(keys), None, failed, [], []]}
        app.backend.store_result(task_id, outcome, SUCCESS)


def test_an_unreachable_backend_is_reported(clerk: Client, run: str, silent_backend: Any) -> None:
    silent_backend()

    response = page(clerk, run)

    assert response.status_code == 503
    assert "The result backend is unavailable." in response.content.decode()
    assert "data-unavailable hidden" not in response.content.decode()
    assert progress(clerk, run).status_code == 503


def test_results_in_djangos_database_are_read_together(
    django_backend: Any, clerk: Client, sent: Any
) -> None:
    bulk_id = run_id(act(clerk, "weigh", boxes(60)))
    fail(bulk_id)

    with CaptureQueriesContext(connection) as queries:
        shown = progress(clerk, bulk_id).json()

    assert shown["status"] == "60 of 60 completed (100 %)"
    assert [row["error"] for row in shown["failures"]] == [
        "ValueError: <b>too heavy</b>",
        "Box.DoesNotExist: gone",
    ]
    # The bulk, the record of the run, the tasks, and the notes of those that failed.
    of_results = [query for query in queries if "celery_results" in query["sql"]]
    assert len(of_results) == 4


def test_errors_of_hidden_objects_are_not_shown(
    clerk: Client, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, _ = fail(run)
    monkeypatch.setattr(
        "tests.admin.admin.BoxAdmin.has_view_permission",
        lambda self, request, obj=None: obj is None or obj.pk != bad.pk,
    )

    shown = progress(client_of(user_with("view", name="viewer")), run).json()

    assert (shown["failures"], shown["more"]) == ([], "2 more rows are not shown.")
    assert progress(clerk, run).json()["failures"][0]["text"] == f"box {bad.number}"
