"""Bulks of durable methods: whether a template makes the messages or not, they are the same."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery import Task, signals
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cereal_methods import ModelReference
from cereal_methods.records import bulks, templates
from cereal_methods.records.models import State, TaskRecord
from cereal_methods.sending import bulk
from tests.bank.models import Account
from tests.celery import app

from .messages import sent

pytestmark = pytest.mark.django_db(transaction=True)

TEXTS = st.text(max_size=20)
VALUES = st.one_of(
    st.integers(),
    TEXTS,
    st.lists(st.integers(), max_size=12),
    st.just("x" * 2000),
    st.just({"$ref": 0}),
    st.just(ModelReference("bank.Account", 1, "default")),
)

#: Options that a bulk may have, and values of theirs.
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "argsrepr": TEXTS,
    "batch_size": st.integers(1, 3),
    "compression": st.just("zlib"),
    "countdown": st.integers(60, 600),
    "expires": st.integers(60, 600),
    "headers": st.dictionaries(st.sampled_from(["own", "other"]), TEXTS | st.none()),
    "ignore_result": st.booleans(),
    "kwargsrepr": TEXTS,
    "priority": st.integers(0, 9),
    "queue": st.just("another"),
    "reply_to": TEXTS,
    "routing_key": TEXTS,
    "serializer": st.sampled_from(["cereal-pickle", "cereal-json", "django_cereal_pickle", "json"]),
    "shadow": TEXTS,
    "soft_time_limit": st.integers(1, 5),
    "time_limit": st.integers(6, 9),
}


@pytest.fixture(autouse=True)
def _empty_queue() -> None:
    sent()


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether there was a template for each bulk that was sent."""
    found: list[bool] = []
    of: Any = templates.Template.of

    def note(*args: Any) -> Any:
        template = of(*args)
        found.append(template is not None)
        return template

    monkeypatch.setattr(bulks.Template, "of", note)
    return found


@given(
    amount=VALUES,
    options=st.fixed_dictionaries({}, optional=OPTIONS),
    keys=st.lists(st.integers(1, 10**12), min_size=1, max_size=5, unique=True),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_template_makes_the_messages_that_apply_async_makes(
    monkeypatch: pytest.MonkeyPatch, amount: Any, options: dict[str, Any], keys: list[int]
) -> None:
    """All but their times is the same, whatever the options are."""
    if options.get("serializer") == "json" and isinstance(amount, ModelReference):
        amount = 1  # json cannot carry it
    bulk_id = str(uuid.uuid4())
    monkeypatch.setattr(bulk, "uuid", lambda: bulk_id)

    def send() -> Any:
        Account.charge.bulk_apply_async(keys, (amount,), **options)
        rows = TaskRecord.objects.order_by("pk").values_list(
            "id", "task", "model", "row", "state", "turn", "envelope", "body"
        )
        records = [(*row[:-1], bytes(row[-1])) for row in rows]
        messages = [(each.headers, each.properties, each.body) for each in taken(options)]
        TaskRecord.objects.all().delete()
        return records, [(headers, properties_of(each), body) for headers, each, body in messages]

    quick = send()
    with monkeypatch.context() as patch:
        patch.setattr(bulks.Template, "of", lambda *args: None)
        assert send() == quick


def taken(options: dict[str, Any]) -> list[Any]:
    default = app.conf.task_default_queue
    app.conf.task_default_queue = options.get("queue", default)
    try:
        return sent()
    finally:
        app.conf.task_default_queue = default


def properties_of(properties: dict[str, Any]) -> dict[str, Any]:
    """Return a message's properties without the tag that the transport gives it."""
    return {name: value for name, value in properties.items() if name != "delivery_tag"}


def test_an_ordinary_bulk_has_a_template(found: list[bool]) -> None:
    Account.charge.bulk_delay([1, 2, 3], 5)
    assert found == [True]
    assert len(sent()) == 3


def test_a_bulk_from_a_template_costs_one_insert_for_a_thousand(found: list[bool]) -> None:
    with CaptureQueriesContext(connection) as queries:
        Account.charge.bulk_delay(range(1, 2002), 5)
    assert found == [True]
    inserts = [query for query in queries.captured_queries if query["sql"].startswith("INSERT")]
    assert len(inserts) < 50  # SQLite takes fewer rows in a statement than PostgreSQL
    assert TaskRecord.objects.filter(state=State.SENT).count() == 2001
    sent()


def test_what_a_transaction_does_not_send_itself_is_due_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulks, "HELD", 3)
    Account.charge.bulk_delay(range(1, 6), 5)
    assert len(sent()) == 3
    waiting = TaskRecord.objects.filter(state=State.WAITING)
    assert [record.send_at == record.created_at for record in waiting] == [True] * 2


def test_a_large_bulk_is_left_to_its_process_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its transaction commits, some seconds may pass."""
    monkeypatch.setattr(bulks, "CHUNK", 2)
    Account.charge.bulk_delay(range(1, 6), 5)
    sent()
    assert all(
        each.send_at - each.created_at > bulks.GRACE * 5 for each in TaskRecord.objects.all()
    )


def test_receivers_of_signals_get_every_message(found: list[bool]) -> None:
    bodies: list[Any] = []

    def receive(body: Any, headers: dict[str, Any], **_: Any) -> None:
        headers["number"] = len(bodies)
        bodies.append(body)

    signals.before_task_publish.connect(receive)
    try:
        Account.charge.bulk_delay([1, 2, 3], 5)
    finally:
        signals.before_task_publish.disconnect(receive)
    assert found == [False]
    assert len(bodies) == 3
    assert [message.headers["number"] for message in sent()] == [0, 1, 2]


def test_routers_get_every_message(found: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    routed: list[Any] = []

    def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> None:
        routed.append(kwargs)

    monkeypatch.setattr(app.amqp.router, "routes", [route])
    Account.charge.bulk_delay([1, 2, 3], 5)
    assert found == [False]
    assert len(routed) >= 3
    sent()


def test_messages_that_differ_in_more_than_their_rows_have_no_template(
    found: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it is Celery's own code that makes them."""
    numbers = iter(range(100))
    monkeypatch.setattr(
        Task, "_get_exec_options", with_globals_of_celery(lambda self: {"priority": next(numbers)})
    )
    Account.charge.bulk_delay([1, 2, 3], 5)
    assert found == [False]
    sent()


def with_globals_of_celery(function: Callable[..., Any]) -> Any:
    """Return a copy of a function that seems to be defined in Celery."""
    kind: Any = type(function)
    return kind(
        function.__code__,
        {"__name__": "celery.app.task", "next": next},
        "own",
        (),
        function.__closure__,
    )


def test_a_failing_row_records_nothing(found: list[bool]) -> None:
    def keys() -> Any:
        yield from (1, 2, 3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Account.charge.bulk_delay(keys(), 5)
    assert found == [True]
    assert not TaskRecord.objects.exists()
    assert sent() == []
