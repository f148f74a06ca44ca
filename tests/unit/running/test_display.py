"""Texts and fields for monitors and logs name the row, without a query."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import chain, current_task
from celery.app.trace import build_tracer
from django.db import OperationalError, models
from kombu.message import Message

from cereal_methods import CEREAL_JSON, ModelReference, model_task
from cereal_methods.integrations.logs import TaskFields
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.running.text import args_text, call_text, kwargs_text, row_of, row_texts
from tests.celery import app
from tests.shop.models import Customer, Document, Order

from ..bodies import stored

pytestmark = pytest.mark.django_db

Sent = Callable[[], list[Any]]

ROW = ModelReference("shop.Order", 5, "default")
PLAIN = ROW.as_plain()


@pytest.fixture
def order() -> Order:
    """An order that seems to be in the database."""
    return stored(Order, pk=5)


def shown(sent: Sent) -> list[tuple[str, str]]:
    """Return the texts in the headers of the messages."""
    return [(message.headers["argsrepr"], message.headers["kwargsrepr"]) for message in sent()]


def run(message: Message) -> Any:
    """Run a message's task as a worker's pool does, and return its result or error."""
    task = app.tasks[message.headers["task"]]
    args, kwargs, embed = message.payload
    request = {**message.headers, **embed, "delivery_info": {}, "hostname": "test"}
    tracer = build_tracer(task.name, task, app=app)
    return tracer(message.headers["id"], args, kwargs, request).retval


@pytest.mark.parametrize(
    ("row", "args", "text"),
    [
        (ROW, ("dhl",), "(<shop.Order 5>, 'dhl')"),
        (ROW, None, "(<shop.Order 5>,)"),
        (None, ("dhl", 1), "('dhl', 1)"),
        (None, (), "()"),
        (QuerySetReference("shop.Order", (1, 2), "default"), [], "(<shop.Order 2 rows>,)"),
        (ROW, [[1, {"a": None}]], "(<shop.Order 5>, [1, {'a': None}])"),
        (5, ("dhl",), "(5, 'dhl')"),
    ],
    ids=str,
)
def test_positional_arguments_come_after_the_row(row: Any, args: Any, text: str) -> None:
    assert args_text(row, args, 1024) == text


@pytest.mark.parametrize("args", [(), ("dhl",), tuple(range(20)), ("x" * 5000,), ([1, 2],), None])
def test_texts_of_many_rows_are_those_of_each(args: Any) -> None:
    assert row_texts(args, 100)(ROW) == args_text(ROW, args, 100)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"this": PLAIN}, "{}"),
        (None, "{}"),
        ({"this": PLAIN, "express": True}, "{'express': True}"),
        ({"express": True, "to": [1]}, "{'express': True, 'to': [1]}"),
    ],
    ids=str,
)
def test_keyword_arguments_are_a_dict_without_the_row(kwargs: Any, text: str) -> None:
    assert kwargs_text(kwargs, 1024) == text


def test_instances_are_shown_by_label_and_key(django_assert_num_queries: Any) -> None:
    customer = stored(Customer, pk=7)

    with django_assert_num_queries(0):
        assert args_text(ROW, [[customer], customer], 99) == (
            "(<shop.Order 5>, [<shop.Customer 7>], <shop.Customer 7>)"
        )
        assert kwargs_text({"a": customer, "b": {"c": customer}}, 99) == (
            "{'a': <shop.Customer 7>, 'b': {'c': <shop.Customer 7>}}"
        )


def test_long_texts_are_truncated() -> None:
    assert len(args_text(ROW, range(1000), 100)) < 120
    assert len(args_text(ROW, ["x" * 5000], 100)) < 120
    assert len(kwargs_text({"x": "x" * 5000}, 100)) < 120


def test_a_message_names_the_row_and_the_arguments(order: Order, sent: Sent) -> None:
    order.ship.delay("dhl", express=True)
    Order.ship.delay(order, "dhl")
    order.ship.apply_async(["dhl"], serializer="json")
    order.count.delay()
    Order.number_all.delay(["a"])

    assert shown(sent) == [
        ("(<shop.Order 5>, 'dhl')", "{'express': True}"),
        ("(<shop.Order 5>, 'dhl')", "{}"),
        ("(<shop.Order 5>, 'dhl')", "{}"),
        ("(<shop.Order 5>,)", "{}"),
        ("(['a'],)", "{}"),
    ]


def test_the_texts_of_the_caller_are_kept(order: Order, sent: Sent) -> None:
    order.ship.apply_async(["dhl"], argsrepr="(secret)", kwargsrepr="{secret}")

    assert shown(sent) == [("(secret)", "{secret}")]


def test_a_single_text_of_the_caller_is_kept(order: Order, sent: Sent) -> None:
    order.ship.apply_async(["dhl"], {"express": True}, kwargsrepr="{secret}")
    order.ship.apply_async(["dhl"], {"express": True}, argsrepr="(secret)")

    assert shown(sent) == [
        ("(<shop.Order 5>, 'dhl')", "{secret}"),
        ("(secret)", "{'express': True}"),
    ]


def test_a_method_is_shown_without_calling_str_of_instances(order: Order) -> None:
    assert str(order.ship) == "<model task Order.ship of <shop.Order 5>>"


def test_the_messages_of_a_bulk_name_their_rows(sent: Sent) -> None:
    Order.ship.bulk_delay([5, 6], "dhl")
    Order.ship.bulk_apply_async([5, 6, 7], ["dhl"], {"express": True}, batch_size=2)

    assert shown(sent) == [
        ("(<shop.Order 5>, 'dhl')", "{}"),
        ("(<shop.Order 6>, 'dhl')", "{}"),
        ("(<shop.Order 2 rows>, 'dhl')", "{'express': True}"),
        ("(<shop.Order 7>, 'dhl')", "{'express': True}"),
    ]


@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json", "json"])
def test_the_next_task_of_a_chain_names_its_row(serializer: str, sent: Sent) -> None:
    order, other = Order.objects.create(pk=5), Order.objects.create(pk=6)
    steps = order.count.s().set(serializer=serializer), other.then.s().set(serializer=serializer)
    chain(*steps).delay()
    (first,) = sent()

    run(first)

    assert shown(sent) == [("(<shop.Order 6>, 1)", "{}")]


@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json", "json"])
def test_a_retry_names_its_row(serializer: str, sent: Sent) -> None:
    order = Order.objects.create(pk=5)
    order.retry_until.apply_async([2], serializer=serializer)
    (first,) = sent()

    run(first)

    assert shown(sent) == [("(<shop.Order 5>, 2)", "{}")]


def test_a_retry_does_not_call_str_of_instances(new_models: None, sent: Sent) -> None:
    class Again(models.Model):
        class Meta:
            app_label = "shop"

        @model_task(bind=True, serializer=CEREAL_JSON)
        @classmethod
        def go(cls, task: Any, order: Order, *, of: Order) -> None:
            raise task.retry(countdown=0)

    order = Order.objects.create(pk=5)  # its __str__ fails
    Again.go.delay(order, of=order)
    (first,) = sent()

    run(first)

    assert shown(sent) == [("(<shop.Order 5>,)", "{'of': <shop.Order 5>}")]


class Seen(logging.Handler):
    """Keeps records, with the fields that the filter gave them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.own: list[set[str]] = []
        self.addFilter(self._note)
        self.addFilter(TaskFields())

    def _note(self, record: logging.LogRecord) -> bool:
        names = {"call", "task_name", "task_id", "model", "pk", "rows", "database"}
        self.own.append(names & vars(record).keys())
        return True

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def fields(self, *names: str) -> list[tuple[Any, ...]]:
        """Return these fields of each record, None for those that it lacks."""
        return [tuple(getattr(record, name, None) for name in names) for record in self.records]


@pytest.fixture
def seen() -> Iterator[Seen]:
    """The records of the loggers ``cereal_methods`` and ``shop``."""
    handler = Seen()
    loggers = [logging.getLogger(name) for name in ("cereal_methods", "shop")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)


ALL = ("task_name", "model", "pk", "database")


def test_a_discarded_task_is_logged_with_its_row(seen: Seen, sent: Sent) -> None:
    stored(Order, pk=5).ship_or_not.delay()
    (message,) = sent()

    run(message)

    name = "tests.shop.models.Order.ship_or_not"
    assert seen.fields(*ALL) == [(name, "shop.Order", 5, "default")]
    assert seen.fields("task_id") == [(message.headers["id"],)]


def test_log_records_of_the_library_have_the_fields(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    stored(Order, pk=7).ship_or_not.delay()
    (message,) = sent()

    run(message)

    (record,) = [record for record in caplog.records if record.name == "cereal_methods"]
    fields = {name: vars(record)[name] for name in ("task_id", *ALL)}
    assert fields == {
        "task_id": message.headers["id"],
        "task_name": "tests.shop.models.Order.ship_or_not",
        "model": "shop.Order",
        "pk": 7,
        "database": "default",
    }


def test_a_fetch_retry_is_logged_with_its_row(
    seen: Seen, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("unavailable")

    document = stored(Document, pk="8f7a3a2e-9a0c-4b0e-8a63-0e0c1d5d9c11")
    document.publish.delay()
    (message,) = sent()
    monkeypatch.setattr("cereal_methods.rows.fetch.rows_by_key", fail)

    run(message)

    assert seen.fields(*ALL, "call") == [
        (
            "tests.shop.models.Document.publish",
            "shop.Document",
            "8f7a3a2e-9a0c-4b0e-8a63-0e0c1d5d9c11",
            "default",
            "tests.shop.models.Document.publish <shop.Document "
            "8f7a3a2e-9a0c-4b0e-8a63-0e0c1d5d9c11>",
        )
    ]
    assert seen.own[0] == {"task_name", "task_id", "model", "pk", "database"}


@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json", "json"])
def test_log_records_of_a_method_have_the_fields_of_its_task(
    serializer: str, seen: Seen, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order.objects.create(pk=5)
    logger = logging.getLogger("shop")
    monkeypatch.setattr("tests.shop.models.mark", lambda *args, **named: logger.warning("begun"))
    order.ship.apply_async(["dhl"], {"express": True}, serializer=serializer)
    (message,) = sent()

    run(message)

    call = "tests.shop.models.Order.ship <shop.Order 5> 'dhl' express=True"
    name = "tests.shop.models.Order.ship"
    assert seen.fields("call", *ALL) == [(call, name, "shop.Order", 5, "default")]


def test_a_batch_is_logged_row_by_row(
    seen: Seen, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("shop")
    monkeypatch.setattr("tests.shop.models.mark", lambda *args, **named: logger.warning("begun"))
    Order.objects.bulk_create([Order(pk=5), Order(pk=6)])
    Order.ship.bulk_apply_async([5, 6], ["dhl"], batch_size=2)
    (message,) = sent()

    run(message)

    assert seen.fields("call", "pk") == [
        ("tests.shop.models.Order.ship <shop.Order 5> 'dhl'", 5),
        ("tests.shop.models.Order.ship <shop.Order 6> 'dhl'", 6),
    ]


def test_records_outside_tasks_have_empty_fields(seen: Seen) -> None:
    logging.getLogger("shop").warning("here")

    assert seen.fields("call", "task_name", "task_id", "pk") == [("", "", "", None)]


def test_log_records_of_the_consumer_have_the_call(seen: Seen) -> None:
    data = {
        "id": "1",
        "name": "shop.models.Order.ship",
        "args": "(<shop.Order 5>,)",
        "kwargs": "{}",
    }

    logging.getLogger("shop").warning("Task %(name)s received", data, extra={"data": data})

    assert seen.fields("call", "task_id") == [("shop.models.Order.ship (<shop.Order 5>,) {}", "1")]


def test_fields_of_the_caller_are_kept(seen: Seen) -> None:
    logging.getLogger("shop").warning("here", extra={"call": "mine", "pk": 7})

    assert seen.fields("call", "pk") == [("mine", 7)]


def test_the_running_tasks_row_is_known_without_a_query(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    order = Order.objects.create(pk=5)
    seen: list[Any] = []

    def note(*args: Any, **named: Any) -> None:
        with django_assert_num_queries(0):
            seen.append((row_of(Order.count.task), call_text(Order.count.task)))

    monkeypatch.setattr("tests.shop.models.mark", note)
    order.count.delay()
    (message,) = sent()

    run(message)

    assert seen == [(ROW, "tests.shop.models.Order.count <shop.Order 5>")]


def test_outside_a_task_there_is_no_row() -> None:
    assert row_of(current_task) is None


def test_a_record_is_logged_even_if_its_fields_fail(
    seen: Seen, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cereal_methods.running.text.row_of", lambda task: 1 / 0)
    Order.objects.create(pk=5)
    logger = logging.getLogger("shop")
    monkeypatch.setattr("tests.shop.models.mark", lambda *args: logger.warning("begun"))
    Order.count.delay(Order.objects.get())
    (message,) = sent()

    run(message)

    assert seen.fields("call", "pk") == [("tests.shop.models.Order.count", None)]
