"""Schedules: one row by its key, and rows by a name, chosen when they are due."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery.app.trace import build_tracer
from celery.result import EagerResult
from django.db import OperationalError, models

from cereal_methods import BulkResult, CerealError, ModelReference, model_task
from cereal_methods.display import call_text
from cereal_methods.exceptions import InvalidModelTask, UnsupportedKey
from cereal_methods.periodic import BULK, rows_named
from cereal_methods.references import reference_to
from tests.celery import app
from tests.shop.models import Customer, Day, Document, Gift, Line, Order

pytestmark = pytest.mark.django_db

Sent = Callable[[], list[Any]]

ORDER = "tests.shop.models.Order"
ID = uuid.UUID("8f7a3a2e-9a0c-4b0e-8a63-0e0c1d5d9c11")


def trace(message: Any) -> Any:
    """Run a message's task as a worker's pool does, and return what came of it."""
    task = app.tasks[message.headers["task"]]
    args, kwargs, embed = message.payload
    request = {**message.headers, **embed, "delivery_info": {}, "hostname": "test"}
    return build_tracer(task.name, task, app=app)(message.headers["id"], args, kwargs, request)


@pytest.fixture(params=["cereal-pickle", "cereal-json", "json"])
def due(request: pytest.FixtureRequest, sent: Sent) -> Callable[..., Any]:
    """Do what beat does with an entry that JSON has kept, and what a worker does then."""

    def run(task: str, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = json.loads(json.dumps([args, kwargs]))
        app.tasks[task].apply_async(args, kwargs, serializer=request.param)
        (message,) = sent()
        done = trace(message)
        if done.info is not None and done.info.state == "FAILURE":
            raise done.info.retval
        return done.retval

    return run


def test_a_row_may_be_named_by_its_key(due: Callable[..., Any]) -> None:
    Order.objects.create(pk=5)

    assert due(f"{ORDER}.ship", "dhl", this=5, express=True) == "shipped"
    assert due(f"{ORDER}.ship", "dhl", this="5") == "shipped"
    assert Order.objects.get().carrier == "dhl"


def test_a_row_that_is_named_by_its_key_is_one_query(
    due: Callable[..., Any], django_assert_num_queries: Any
) -> None:
    Order.objects.create(pk=5)

    with django_assert_num_queries(1):
        assert due(f"{ORDER}.trace", this=5) == ["2026-0001"]


def test_a_row_that_is_named_by_its_key_is_shown_as_any_other(sent: Sent) -> None:
    app.tasks[f"{ORDER}.ship"].apply_async(["dhl"], {"this": "5"})
    app.tasks[f"{ORDER}.ship"].apply_async(["dhl"], {"this": "five"})

    shown = [(each.headers["argsrepr"], each.headers["kwargsrepr"]) for each in sent()]
    assert shown == [("(<shop.Order 5>, 'dhl')", "{}"), ("('dhl',)", "{}")]


@pytest.mark.parametrize("serializer", ["cereal-pickle", "json"])
def test_what_a_row_by_its_key_logs_names_it(
    serializer: str, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    Order.objects.create(pk=5)
    seen: list[str] = []
    count = app.tasks[f"{ORDER}.count"]
    monkeypatch.setattr("tests.shop.models.mark", lambda *args: seen.append(call_text(count)))
    count.apply_async((), {"this": 5}, serializer=serializer)
    (message,) = sent()

    trace(message)

    assert seen == [f"{ORDER}.count <shop.Order 5>"]


@pytest.mark.parametrize(
    ("method", "result"),
    [("summary", [None, [], False]), ("meet_locked", ["2026-0001"]), ("task_of", None)],
)
def test_methods_with_row_options_take_a_key_as_well(
    due: Callable[..., Any], method: str, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Order.objects.create(pk=5)

    if result is None:
        assert due(f"{ORDER}.{method}") == f"Order {ORDER}.{method}"
    else:
        assert due(f"{ORDER}.{method}", this=5) == result


def test_a_key_of_a_row_that_is_gone_is_a_matter_of_on_missing(
    due: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Order.DoesNotExist):
        due(f"{ORDER}.ship", "dhl", this=5)
    due(f"{ORDER}.ship_or_not", this=5)

    assert "is discarded: shop.Order 5 in database 'default' does not exist" in caplog.text


def test_keys_are_of_every_kind(due: Callable[..., Any]) -> None:
    Document.objects.create(id=ID, title="a")

    assert due("tests.shop.models.Document.publish", this=str(ID)) == "a"
    assert due("tests.shop.models.Document.publish", this={"uuid": str(ID)}) == "a"


@pytest.mark.parametrize(
    ("model", "key", "pk"),
    [
        (Order, 5, 5),
        (Order, "5", 5),
        (Gift, 5, 5),
        (Document, str(ID), ID),
        (Line, [5, "1"], (5, 1)),
        (Line, (5, 1), (5, 1)),
    ],
)
def test_a_key_is_taken_in_the_type_of_its_field(model: Any, key: Any, pk: Any) -> None:
    assert reference_to(model, key) == ModelReference(model._meta.label, pk, "default")


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (Order, "five"),
        (Order, None),
        (Order, True),
        (Order, 1.5),
        (Order, {}),
        (Order, {"a": "b"}),
        (Order, [1, 2]),
        (Document, 5.5),
        (Document, "x"),
        (Day, "yesterday"),
        (Line, 5),
        (Line, [5]),
        (Line, ["a", 1]),
    ],
    ids=str,
)
def test_what_is_no_key_is_refused(model: Any, key: Any) -> None:
    with pytest.raises((UnsupportedKey, CerealError)):
        reference_to(model, key)


def test_a_task_tells_of_what_is_no_key(due: Callable[..., Any]) -> None:
    with pytest.raises(InvalidModelTask) as caught:
        due(f"{ORDER}.ship", "dhl", this="five")

    assert str(caught.value) == (
        f"The task {ORDER}.ship was sent with this=a str of length 4, which is neither a primary "
        "key of shop.Order nor a reference to a row of it."
    )


def names(rows: Any) -> list[str]:
    """Return what documents are called, in order."""
    return sorted(row.title for row in rows)


@pytest.fixture
def documents() -> None:
    """Three documents, two of them drafts."""
    Document.objects.bulk_create([Document(title=title) for title in ("draft", "draft", "done")])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("drafts", ["draft", "draft"]),
        ("objects.drafts", ["draft", "draft"]),
        ("objects", ["done", "draft", "draft"]),
        ("all", ["done", "draft", "draft"]),
        ("objects.all", ["done", "draft", "draft"]),
    ],
)
def test_rows_have_names(documents: None, name: str, found: list[str]) -> None:
    assert names(rows_named(Document, name)) == found


def test_a_manager_is_a_name_of_rows() -> None:
    paid = Order.objects.create(status="paid")
    Order.objects.create()

    assert [row.pk for row in rows_named(Order, "paid")] == [paid.pk]


WRONG = {
    "draft": (
        "shop.Document has no rows 'draft': neither a manager nor a method of its default manager "
        "has that name. Did you mean 'drafts'?"
    ),
    "qqq": (
        "shop.Document has no rows 'qqq': neither a manager nor a method of its default manager "
        "has that name. There are objects, clear, drafts, titled, titles."
    ),
    "titled": "it needs arguments, which a name cannot give",
    "clear": "it changes rows (alters_data)",
    "create": "it is one of Django's own methods, which take arguments or change rows",
    "delete": "shop.Document has no rows 'delete'",
    "objects.count": "it is one of Django's own methods, which take arguments or change rows",
    "_insert": "it is no method that returns a queryset",
    "model": "it is no method that returns a queryset",
    "drafts.drafts": "shop.Document has no rows 'drafts.drafts'",
    "objects.drafts.all": "shop.Document has no rows 'objects.drafts.all'",
    "": "shop.Document has no rows ''",
    "titles": (
        "The rows 'titles' of shop.Document are no queryset of it: a list. Return "
        "self.filter(...) there, or the like."
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_names_that_are_none_of_rows_are_refused(name: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(name == "titles"), pytest.raises(InvalidModelTask) as caught:
        rows_named(Document, name)

    assert WRONG[name] in str(caught.value)


def test_a_method_task_of_a_manager_is_no_name_of_rows() -> None:
    with pytest.raises(InvalidModelTask, match="it is no method that returns a queryset"):
        rows_named(Order, "paid.count_all")


def test_rows_are_chosen_when_they_are_due(
    due: Callable[..., Any], sent: Sent, django_assert_num_queries: Any
) -> None:
    Order.objects.create(pk=4, status="paid")
    call = Order.ship.bulk_s("paid", "dhl", express=True)
    Order.objects.filter(pk=4).update(status="new")
    Order.objects.bulk_create([Order(pk=5, status="paid"), Order(pk=6, status="paid")])

    with django_assert_num_queries(1):
        bulk_id = due(call.task, *call.args, **call.kwargs)

    shown = [(each.headers["argsrepr"], each.headers["kwargsrepr"]) for each in sent()]
    assert shown == [
        ("(<shop.Order 5>, 'dhl')", "{'express': True}"),
        ("(<shop.Order 6>, 'dhl')", "{'express': True}"),
    ]
    result = BulkResult.restore(bulk_id)
    assert result is not None
    assert (result.total, result.messages) == (2, 2)


def test_an_entry_may_say_all_that_a_bulk_takes(due: Callable[..., Any], sent: Sent) -> None:
    Order.objects.bulk_create([Order(pk=pk, status="paid") for pk in (5, 6, 7)])

    due(
        BULK,
        f"{ORDER}.ship",
        "paid",
        ["dhl"],
        kwargs={"express": True},
        batch_size=2,
        options={"priority": 3},
    )

    found = [(each.headers["argsrepr"], each.properties["priority"]) for each in sent()]
    assert found == [("(<shop.Order 2 rows>, 'dhl')", 3), ("(<shop.Order 7>, 'dhl')", 3)]


def test_no_rows_are_no_messages(due: Callable[..., Any], sent: Sent) -> None:
    assert due(BULK, f"{ORDER}.count", "paid")
    assert sent() == []


def test_what_was_sent_is_logged(due: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cereal_methods")
    Order.objects.create(status="paid")

    bulk_id = due(BULK, f"{ORDER}.count", rows="paid")

    (record,) = [each for each in caplog.records if each.name == "cereal_methods"]
    assert record.getMessage().endswith(
        f"has sent {ORDER}.count for 1 of the rows 'paid': bulk {bulk_id}"
    )
    fields: Any = record
    assert (fields.task_name, fields.method, fields.model, fields.rows, fields.database) == (
        BULK,
        f"{ORDER}.count",
        "shop.Order",
        1,
        "default",
    )


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (
            [f"{ORDER}.shipp", "paid"],
            InvalidModelTask,
            f"The task '{ORDER}.shipp', to be sent for rows, does not exist. Did you mean "
            f"'{ORDER}.ship'?",
        ),
        (
            [f"{ORDER}.number_all", "paid"],
            InvalidModelTask,
            f"The task '{ORDER}.number_all', to be sent for rows, is no method that runs on rows.",
        ),
        ([7, "paid"], InvalidModelTask, "The task 7, to be sent for rows, does not exist."),
        ([f"{ORDER}.ship", "payed"], InvalidModelTask, "Did you mean 'paid'?"),
        ([f"{ORDER}.ship", "paid"], TypeError, "carrier"),
        ([f"{ORDER}.ship", "paid", ["dhl"], None, 0], ValueError, "batch_size is 0"),
        ([f"{ORDER}.count", "paid", [], {}, 1, {"link": 1}], TypeError, "link="),
    ],
    ids=str,
)
def test_an_entry_that_is_wrong_fails_and_says_why(
    due: Callable[..., Any], args: Any, error: Any, message: str
) -> None:
    with pytest.raises(error) as caught:
        due(BULK, *args)

    assert message in str(caught.value)


def test_a_wrong_call_is_refused_where_it_is_written() -> None:
    with pytest.raises(InvalidModelTask, match="Did you mean 'paid'"):
        Order.ship.bulk_s("payed", "dhl")
    with pytest.raises(TypeError):
        Order.ship.bulk_s("paid")
    with pytest.raises(InvalidModelTask, match="from the class"):
        Order(pk=5).ship.bulk_s("paid", "dhl")  # type: ignore[misc]


def test_a_signature_takes_no_result_and_uses_the_methods_serializer() -> None:
    call: Any = Order.ship_as_json.bulk_signature("paid", ["dhl"], batch_size=7, queue="mail")

    assert call.immutable
    assert call.options["serializer"] == "json"
    assert call.args == (f"{ORDER}.ship_as_json", "paid")
    assert call.kwargs == {"args": ["dhl"], "batch_size": 7, "options": {"queue": "mail"}}


def test_instances_among_the_arguments_are_references(due: Callable[..., Any]) -> None:
    order, other = Order.objects.create(status="paid"), Order.objects.create()

    call = order.meet.task and Order.meet.bulk_s("paid", other)

    assert call.kwargs["args"] == [ModelReference.of(other)]


def test_the_signature_runs_eagerly(eager: None) -> None:
    Order.objects.create(status="paid")

    result = Order.ship.bulk_s("paid", "dhl").delay()

    assert isinstance(result, EagerResult)
    result.get()
    assert Order.objects.get().carrier == "dhl"


def test_a_database_that_is_away_puts_it_off(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **named: Any) -> None:
        raise OperationalError("away")

    app.tasks[BULK].apply_async([f"{ORDER}.count", "paid"])
    (message,) = sent()
    monkeypatch.setattr("cereal_methods.bulk._keys_of_queryset", fail)

    done = trace(message)

    assert done.info.state == "RETRY"
    (again,) = sent()
    assert again.headers["id"] == message.headers["id"]
    monkeypatch.undo()
    Order.objects.create(status="paid")
    assert trace(again).info is None
    assert len(sent()) == 1


def test_a_child_is_sent_for_its_own_rows(sent: Sent, due: Callable[..., Any]) -> None:
    Order.objects.create(pk=5, status="paid")
    Gift.objects.create(pk=6, status="paid")

    due(BULK, "tests.shop.models.Gift.count", "all")

    assert [each.headers["argsrepr"] for each in sent()] == ["(<shop.Gift 6>,)"]


def test_a_custom_default_manager_gives_the_names(new_models: None) -> None:
    class Manager(models.Manager["Named"]):
        def some(self) -> models.QuerySet[Any]:
            return self.filter(pk=1)

    class Named(models.Model):
        rows = Manager()

        class Meta:
            app_label = "shop"

        @model_task
        def go(self) -> None: ...

    assert rows_named(Named, "some").query.where
    assert rows_named(Named, "rows.some").query.where
    assert Named.go.bulk_s("some").args == (Named.go.name, "some")


def test_rows_of_another_model_are_refused(new_models: None) -> None:
    class Manager(models.Manager[Any]):
        def customers(self) -> models.QuerySet[Customer]:
            return Customer.objects.all()

    class Other(models.Model):
        objects = Manager()

        class Meta:
            app_label = "shop"

    with pytest.raises(InvalidModelTask, match="are no queryset of it: a QuerySet"):
        rows_named(Other, "customers")


def test_rows_are_not_asked_for_before_they_are_due(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        call = Document.publish.bulk_s("titles")  # it queries, and is no queryset

    assert call.args == (Document.publish.name, "titles")


def test_a_backend_that_is_away_does_not_undo_what_was_sent(
    due: Callable[..., Any],
    sent: Sent,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(self: BulkResult) -> None:
        raise ConnectionError("away")

    Order.objects.create(status="paid")
    monkeypatch.setattr(BulkResult, "save", fail)

    bulk_id = due(BULK, f"{ORDER}.count", "paid")

    assert len(sent()) == 1
    assert f"The bulk {bulk_id} could not be saved: away" in caplog.text
