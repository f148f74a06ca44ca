"""Method tasks as actions of the list."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import translation
from kombu.exceptions import OperationalError

from cereal_methods import BulkResult, ModelReference
from tests.celery import app

from .conftest import LIST, act, boxes, client_of, fill_in, rows_in, run_id, told, user_with
from .models import Box, Crate, Shelf

pytestmark = pytest.mark.django_db(transaction=True)


def offered(client: Client) -> list[str]:
    """Return the names of the actions that the list offers."""
    form = client.get(LIST).context["action_form"]
    return [name for name, _ in form.fields["action"].choices if name]


@pytest.mark.parametrize(
    ("permissions", "name", "actions"),
    [
        (["view"], "clerk", ["forget"]),
        (["view", "change"], "clerk", ["weigh", "ship", "forget"]),
        (["view", "delete"], "clerk", ["delete_selected", "burn", "forget"]),
        (["view"], "mover", ["move", "forget"]),
    ],
)
def test_actions_are_offered_to_users_with_permission(
    permissions: list[str], name: str, actions: list[str]
) -> None:
    boxes()

    assert offered(client_of(user_with(*permissions, name=name))) == actions


def test_actions_are_called_by_their_descriptions(admin_client: Client) -> None:
    boxes()

    choices = admin_client.get(LIST).context["action_form"].fields["action"].choices

    assert dict(choices)["ship"] == "Ship selected boxes"
    assert dict(choices)["weigh"] == "Weigh"


def test_an_action_that_is_not_allowed_is_not_run(sent: Any) -> None:
    response = act(client_of(user_with("view")), "weigh", boxes())

    assert told(response) == ["No action selected."]
    assert sent() == []


def test_a_pop_up_and_an_admin_without_actions_offer_none(
    clerk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes()

    assert clerk.get(LIST, {"_popup": 1}).context["action_form"] is None
    monkeypatch.setattr("tests.admin.admin.BoxAdmin.actions", None)
    assert clerk.get(LIST).context["action_form"] is None


def test_a_method_is_sent_for_the_selected_rows(clerk: Client, sent: Any) -> None:
    first, second, _ = boxes()

    response = act(clerk, "weigh", [first, second])

    assert [rows_in(message) for message in sent()] == [[second.pk], [first.pk]]
    assert told(response) == ["“Weigh” was sent for 2 boxes."]
    result = BulkResult.restore(run_id(response))
    assert result is not None
    assert result.total == 2


def test_one_row_is_named_in_the_singular(clerk: Client, sent: Any) -> None:
    (box,) = boxes(1)

    assert told(act(clerk, "weigh", [box])) == ["“Weigh” was sent for 1 box."]


def test_all_rows_that_match_are_sent_in_batches(clerk: Client, sent: Any) -> None:
    boxes(250, owner="a")
    other = boxes(1, owner="b")
    shown = Box.objects.filter(owner="a").order_by("-pk")[:100]

    with CaptureQueriesContext(
        connection,
    ) as queries:
        response = clerk.post(
            f"{LIST}?owner=a",
            {
                "action": "weigh",
                "_selected_action": [box.pk for box in shown],
                "select_across": "1",
                "index": 0,
            },
        )

    batches = [rows_in(message) for message in sent()]
    assert [len(batch) for batch in batches] == [3] * 83 + [1]
    keys = [key for batch in batches for key in batch]
    assert sorted(keys) == sorted(Box.objects.filter(owner="a").values_list("pk", flat=True))
    assert other[0].pk not in keys
    assert told(response) == ["“Weigh” was sent for 250 boxes."]
    # No row is loaded to be sent: the list's own hundred are, which Django reads for each request.
    of_rows = [query["sql"] for query in queries if 'FROM "warehouse_box"' in query["sql"]]
    assert len([sql for sql in of_rows if '"number"' in sql and "LIMIT 100" not in sql]) == 0
    assert len([sql for sql in of_rows if sql.startswith('SELECT "warehouse_box"."id" AS')]) == 1


def test_the_queries_of_a_dispatch_do_not_grow_with_the_rows(clerk: Client, sent: Any) -> None:
    counts = []
    for many in (1, 5, 50):  # the first also asks for what Django keeps
        Box.objects.all().delete()
        rows = boxes(many)
        with CaptureQueriesContext(connection) as queries:
            act(clerk, "weigh", rows)
        counts.append(len(queries))

    assert counts[1] == counts[2]


def test_an_action_can_have_its_own_batch_size(admin_client: Client, sent: Any) -> None:
    fill_in(admin_client, "burn", boxes(10))

    assert [len(rows_in(message)) for message in sent()] == [7, 3]


def test_arguments_are_asked_for_before_anything_is_sent(clerk: Client, sent: Any) -> None:
    rows = boxes()

    response = act(clerk, "ship", rows)

    assert sent() == []
    assert response.status_code == 200
    assert response.templates[0].name == "cereal_methods/admin/ask.html"
    page = response.content.decode()
    assert "for <strong>3 boxes</strong>" in page
    assert 'name="argument-carrier"' in page
    assert [f'name="_selected_action" value="{row.pk}"' in page for row in rows] == [True] * 3


def test_arguments_are_sent(clerk: Client, sent: Any) -> None:
    (box,) = boxes(1)

    response = fill_in(clerk, "ship", [box], carrier="ups", days="7")

    (message,) = sent()
    kwargs = message.decode()[1].with_references()
    assert {name: kwargs[name] for name in kwargs if name != "this"} == {
        "carrier": "ups",
        "days": 7,
    }
    assert run_id(response)


def test_a_row_among_the_arguments_is_sent_as_a_reference(admin_client: Client, sent: Any) -> None:
    shelf = Shelf.objects.create(name="A")

    fill_in(admin_client, "move", boxes(1), to=shelf.pk, note="now")

    (message,) = sent()
    args, kwargs, _ = message.decode()
    assert args.with_references() == [ModelReference.of(shelf)]
    assert kwargs.with_references()["note"] == "now"


def test_arguments_that_do_not_fit_are_asked_for_again(clerk: Client, sent: Any) -> None:
    response = fill_in(clerk, "ship", boxes(), carrier="nobody", days="")

    assert sent() == []
    page = response.content.decode()
    assert "<title>Error: Ship selected boxes" in page
    assert "Please correct the errors below." in page
    assert "nobody is not one of the available choices." in page
    assert "for <strong>3 boxes</strong>" in page


def test_all_rows_stay_selected_when_the_form_is_submitted(clerk: Client, sent: Any) -> None:
    rows = boxes(120)
    page = act(clerk, "ship", rows[:100], select_across="1").content.decode()
    assert "for <strong>120 boxes</strong>" in page
    assert '<input type="hidden" name="select_across" value="1">' in page

    clerk.post(
        LIST,
        {
            "action": "ship",
            "_selected_action": rows[0].pk,
            "select_across": "1",
            "post": "yes",
            "argument-carrier": "dhl",
            "argument-days": "1",
        },
    )

    assert sum(len(rows_in(message)) for message in sent()) == 120


@pytest.mark.parametrize(
    ("action", "question"), [("move", "Really move?"), ("burn", "Are you sure?")]
)
def test_a_confirmation_is_asked_for(
    action: str, question: str, admin_client: Client, sent: Any
) -> None:
    page = act(admin_client, action, boxes()).content.decode()

    assert f"<p>{question}</p>" in page
    assert 'class="default" value="Yes, I' in page
    assert sent() == []


def test_the_log_has_one_entry_for_a_run(clerk: Client, sent: Any) -> None:
    response = act(clerk, "weigh", boxes(3))

    (entry,) = LogEntry.objects.all()
    assert (entry.user.username, entry.object_repr, entry.object_id) == ("clerk", "3 boxes", None)
    assert entry.content_type.model_class() is Box
    assert entry.change_message == f"Sent “Weigh” (run {run_id(response)})."
    assert entry.get_admin_url() is None


def test_rows_that_a_user_does_not_see_are_not_sent(sent: Any) -> None:
    narrow = client_of(user_with("view", "change", name="narrow"))
    hidden, seen = boxes(1, owner="x") + boxes(1)

    act(narrow, "weigh", [hidden, seen])

    assert [rows_in(message) for message in sent()] == [[seen.pk]]


def test_rows_that_are_gone_are_reported(clerk: Client, sent: Any) -> None:
    rows = boxes(1)
    Box.objects.all().delete()

    response = act(clerk, "weigh", rows)

    assert told(response) == ["“Weigh” was not sent: the rows do not exist any more."]
    assert response.url == LIST
    assert LogEntry.objects.count() == 0


def test_an_unreachable_broker_is_reported(clerk: Client) -> None:
    with mock.patch.object(
        Box.weigh.task, "apply_async", side_effect=OperationalError("no broker")
    ):
        response = act(clerk, "weigh", boxes())

    assert told(response) == ["“Weigh” was not sent: OperationalError: no broker"]
    assert LogEntry.objects.count() == 0


def test_rows_that_were_sent_are_reported_if_the_broker_fails(clerk: Client, sent: Any) -> None:
    send = Box.weigh.task.apply_async
    calls = iter([send, mock.Mock(side_effect=OperationalError("no broker"))])
    with mock.patch.object(
        Box.weigh.task, "apply_async", side_effect=lambda *a, **k: next(calls)(*a, **k)
    ):
        response = act(clerk, "weigh", boxes(3))

    assert told(response) == [
        "“Weigh” was sent for 1 box, but not for the others: OperationalError: no broker"
    ]
    result = BulkResult.restore(run_id(response))
    assert result is not None
    assert result.total == 1
    assert LogEntry.objects.get().object_repr == "1 box"


def test_a_serializer_that_workers_do_not_accept_is_reported_to_the_user(
    clerk: Client, sent: Any
) -> None:
    before = app.conf.accept_content
    # In both: before 5.6 Celery reads Django's settings first.
    with override_settings(CELERY_ACCEPT_CONTENT=["json"]):
        app.conf.accept_content = ["json"]
        try:
            response = act(clerk, "weigh", boxes())
        finally:
            app.conf.accept_content = before

    (message,) = told(response)
    assert message.startswith("“Weigh” was not sent: ")
    assert "Workers would drop this message" in message


def test_results_that_are_not_kept_are_reported(clerk: Client, sent: Any) -> None:
    response = act(clerk, "forget", boxes())

    assert len(sent()) == 3
    assert told(response) == [
        "“Forget” was sent for 3 boxes.",
        "Progress is not available: results are not kept.",
    ]
    assert response.url == LIST
    assert LogEntry.objects.count() == 1


def test_an_unreachable_backend_is_reported(clerk: Client, sent: Any, silent_backend: Any) -> None:
    rows = boxes()
    silent_backend()

    response = act(clerk, "weigh", rows)

    assert len(sent()) == 3
    assert told(response) == [
        "“Weigh” was sent for 3 boxes.",
        "Progress is not available: ConnectionError: the backend is down",
    ]
    assert LogEntry.objects.count() == 1


def test_a_backend_that_fails_while_sending_is_reported(clerk: Client, sent: Any) -> None:
    error = RuntimeError("Retry limit exceeded")

    with mock.patch.object(type(app.backend), "on_task_call", side_effect=error):
        response = act(clerk, "weigh", boxes())

    assert told(response) == ["“Weigh” was not sent: RuntimeError: Retry limit exceeded"]
    assert LogEntry.objects.count() == 0


def test_eager_tasks_are_reported_at_once(clerk: Client, eager: None) -> None:
    rows = boxes(2) + Box.objects.bulk_create([Box(number="bad")])

    response = act(clerk, "weigh", rows)

    assert told(response) == ["“Weigh”: 2 succeeded, 1 failed, 0 missing."]
    assert response.url == LIST
    assert list(Box.objects.order_by("pk").values_list("weight", flat=True)) == [1, 1, 0]


def test_in_a_request_s_transaction_the_method_is_sent_after_the_commit(
    clerk: Client, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    seen = []
    send = Box.weigh.task.apply_async

    def note(*args: Any, **kwargs: Any) -> Any:
        seen.append(connection.in_atomic_block)
        return send(*args, **kwargs)

    with mock.patch.object(Box.weigh.task, "apply_async", side_effect=note):
        response = act(clerk, "weigh", boxes(1))

    assert seen == [False]
    assert len(sent()) == 1
    assert told(response) == ["“Weigh” was sent for 1 box."]
    result = BulkResult.restore(run_id(response))
    assert result is not None
    assert result.total == 1


def test_a_token_is_needed(sent: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user_with("view", "change"))

    assert act(client, "weigh", boxes()).status_code == 403
    assert sent() == []


def test_keys_need_not_be_numbers(admin_client: Client, sent: Any) -> None:
    crate = Crate.objects.create()

    response = admin_client.post(
        "/admin/warehouse/crate/",
        {"action": "close", "_selected_action": [str(crate.pk)], "index": 0},
    )

    assert response.url.startswith("/admin/warehouse/crate/model-tasks/")
    assert rows_in(sent()[0]) == [{"uuid": str(crate.pk)}]


def test_pages_are_in_the_users_language_where_django_has_the_words(admin_client: Client) -> None:
    rows = boxes()
    with translation.override("de"):
        page = act(admin_client, "burn", rows).content.decode()

    assert "Ja, ich bin sicher" in page
