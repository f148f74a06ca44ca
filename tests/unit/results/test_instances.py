"""Instances in results, which are fetched when the result is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from celery._state import _task_stack
from django.apps import apps

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage, UnknownVersion
from tests.celery import app
from tests.shop.models import Customer, Order

from ..bodies import decode, encode, refusal, stored, trip

pytestmark = pytest.mark.django_db(databases=["default", "archive"])

REFERENCE = ModelReference("shop.Order", 5, "default")


def record(result: Any, status: str = "SUCCESS") -> dict[str, Any]:
    """Return what a result backend stores."""
    return {"status": status, "result": result, "traceback": None, "children": [], "task_id": "1"}


def through(name: str, value: Any) -> Any:
    """Return a result that was encoded and decoded."""
    return decode(encode(value, name), name)


def test_the_state_of_a_record_is_read_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    stored_record = through(name, record([stored(Order, pk=5)]))

    with django_assert_num_queries(0):
        assert stored_record["status"] == "SUCCESS"
        assert stored_record.get("traceback") is None
        assert stored_record["task_id"] == "1"
        assert set(stored_record) == {"status", "result", "traceback", "children", "task_id"}


def test_the_result_of_a_record_is_fetched_once(name: str, django_assert_num_queries: Any) -> None:
    order, customer = Order.objects.create(), Customer.objects.create(name="Ada")
    stored_record = through(name, record({"orders": [order, order], "customer": customer}))
    Order.objects.update(status="paid")

    with django_assert_num_queries(2):
        result = stored_record["result"]
        assert stored_record["result"] is result

    assert result == {"orders": [order, order], "customer": customer}
    assert result["orders"][0] is result["orders"][1]
    assert result["orders"][0].status == "paid"


@pytest.mark.parametrize(
    "read",
    [
        lambda stored: stored["result"],
        lambda stored: stored.get("result"),
        lambda stored: dict(stored)["result"],
        lambda stored: {**stored}["result"],
        lambda stored: dict(stored.items())["result"],
        lambda stored: list(stored.values())[list(stored).index("result")],
        lambda stored: stored.copy()["result"],
        lambda stored: stored.pop("result"),
        lambda stored: stored.setdefault("result", None),
        lambda stored: (stored | {})["result"],
    ],
    ids=["[]", "get", "dict", "**", "items", "values", "copy", "pop", "setdefault", "|"],
)
def test_every_way_of_reading_a_record_gives_the_instance(name: str, read: Any) -> None:
    order = Order.objects.create()

    assert read(through(name, record(order))) == order


def test_a_record_whose_row_is_gone_has_a_state(name: str) -> None:
    stored_record = through(name, record(stored(Order, pk=5)))

    assert stored_record["status"] == "SUCCESS"
    with pytest.raises(Order.DoesNotExist) as caught:
        stored_record["result"]
    assert str(caught.value).startswith("shop.Order 5 in database 'default' does not exist: ")


def test_a_record_may_be_given_another_result(name: str, django_assert_num_queries: Any) -> None:
    stored_record = through(name, record(stored(Order, pk=5)))

    with django_assert_num_queries(0):
        stored_record["result"] = "other"
        assert stored_record["result"] == "other"


@pytest.mark.parametrize("status", ["FAILURE", "RETRY", "REVOKED"])
def test_references_in_an_exception_stay_references(
    name: str, status: str, django_assert_num_queries: Any
) -> None:
    error = {"exc_type": "Gone", "exc_message": [stored(Order, pk=5)], "exc_module": "shop"}

    with django_assert_num_queries(0):
        result = through(name, record(error, status))["result"]

    assert result["exc_message"] == [REFERENCE]


def test_a_chords_part_is_not_fetched(name: str, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        part = through(name, [1, "an-id", "SUCCESS", {"order": stored(Order, pk=5)}])

    assert list(part) == [1, "an-id", "SUCCESS", {"order": REFERENCE}]


def test_a_chords_part_is_sent_on_with_its_references(name: str) -> None:
    part = through(name, [1, "an-id", "SUCCESS", [stored(Order, pk=5)]])

    assert through(name, part)[3] == [REFERENCE]


@pytest.mark.parametrize(
    "value",
    [
        [2, "an-id", "SUCCESS"],
        [1, "an-id", "PENDING"],
        [1, 1, "SUCCESS"],
        [1, "an-id", "SUCCESS", "more"],
    ],
)
def test_a_list_that_is_not_a_chord_part_is_fetched(name: str, value: list[Any]) -> None:
    order = Order.objects.create()

    assert list(through(name, [*value, order])) == [*value, order]


def test_a_bare_result_is_fetched_at_once(name: str, django_assert_num_queries: Any) -> None:
    order = Order.objects.create()
    payload = encode({"orders": [order]}, name)

    with django_assert_num_queries(1):
        decoded = decode(payload, name)

    assert decoded == {"orders": [order]}


def test_a_bare_instance_is_fetched_at_once(name: str) -> None:
    order = Order.objects.create()

    assert through(name, order) == order


def test_a_result_without_instances_is_a_plain_dict(name: str) -> None:
    stored_record = through(name, record({"a": [1]}))

    assert stored_record == record({"a": [1]})
    assert type(stored_record) is dict


def test_the_arguments_in_an_extended_record_are_plain(
    name: str, django_assert_num_queries: Any
) -> None:
    args, kwargs, _ = trip(name, [stored(Order, pk=5)], {"a": 1})

    with django_assert_num_queries(0):
        stored_record = through(name, {**record(1), "args": args, "kwargs": kwargs})

    assert list(stored_record["args"]) == [
        {"cereal_methods.reference": ["shop.Order", 5, "default"]}
    ]
    assert stored_record["kwargs"] == {"a": 1}


@pytest.fixture
def in_chord_unlock() -> Iterator[None]:
    """Let Celery's task run that collects the parts of a chord."""
    task = app.tasks["celery.chord_unlock"]
    task_stack: Any = _task_stack
    task_stack.push(task)
    yield
    task_stack.pop()


@pytest.mark.usefixtures("in_chord_unlock")
def test_a_result_that_is_collected_for_a_chord_is_not_fetched(
    name: str, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        assert list(through(name, [stored(Order, pk=5)])) == [REFERENCE]
        assert list(through(name, record([stored(Order, pk=5)]))["result"]) == [REFERENCE]


def test_other_keys_of_a_record_may_be_changed(name: str, django_assert_num_queries: Any) -> None:
    stored_record = through(name, record(stored(Order, pk=5)))

    with django_assert_num_queries(0):
        stored_record["children"] = [1]
        assert stored_record.pop("children") == [1]
        assert stored_record.setdefault("more", 2) == 2


def test_a_process_without_django_sets_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encode(record(5), "cereal-pickle")
    monkeypatch.setattr(apps, "ready", False)
    monkeypatch.setattr(apps, "loading", False)
    monkeypatch.setattr(apps, "loading", False)

    with mock.patch("django.setup") as setup:
        assert decode(payload, "cereal-pickle")["result"] == 5

    setup.assert_called_once_with()


def test_an_unsaved_instance_as_a_result_is_refused(name: str) -> None:
    assert str(refusal(record(Order()), name)).startswith(
        "This shop.Order has no row in the database: "
    )


def test_a_tuple_of_three_values_is_an_ordinary_result(name: str) -> None:
    assert list(through(name, (1, 2, {"a": 3}))) == [1, 2, {"a": 3}]


def test_a_record_of_a_newer_version_is_refused() -> None:
    payload = encode(record(REFERENCE), "cereal-json").replace('"cereal":1', '"cereal":2')

    with pytest.raises(Exception, match="version 2") as caught:
        decode(payload, "cereal-json")

    error = caught.value.args[0]
    assert type(error) is UnknownVersion
    assert str(error) == (
        "The message has version 2 of the cereal-json format, and this process reads version 1. "
        "Deploy the workers before the senders."
    )


def test_a_truncated_result_is_refused() -> None:
    payload = encode(record(REFERENCE), "cereal-json")

    with pytest.raises(Exception, match="is damaged") as caught:
        decode(payload[:-1], "cereal-json")

    error = caught.value.args[0]
    assert type(error) is InvalidMessage
    assert str(error) == (
        "The message is damaged: its body is shorter or longer than its header says."
    )
