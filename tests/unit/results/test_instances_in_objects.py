"""Results whose objects use the instances in them while they are unpickled."""

from __future__ import annotations

from typing import Any

import pytest

from tests.shop.models import Order

from ..bodies import decode, encode, stored

pytestmark = pytest.mark.django_db(databases=["default", "archive"])

NAME = "cereal-pickle"


class Label:
    """Reads a field of its order while it is unpickled."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.text = order.number

    def __getstate__(self) -> Any:
        return {"order": self.order}

    def __setstate__(self, state: Any) -> None:
        self.order = state["order"]
        self.text = self.order.number


class Fresh(Label):
    """Queries while it is unpickled."""

    def __setstate__(self, state: Any) -> None:
        self.order = Order.objects.get(pk=state["order"].pk)
        self.text = self.order.number


def record(result: Any, status: str = "SUCCESS") -> dict[str, Any]:
    return {"status": status, "result": result, "traceback": None, "children": [], "task_id": "1"}


def through(value: Any) -> Any:
    return decode(encode(value, NAME), NAME)


@pytest.fixture
def order() -> Order:
    return Order.objects.create(number="7")


@pytest.mark.parametrize("kind", [Label, Fresh])
def test_an_object_is_made_on_the_fetched_instance(order: Order, kind: type[Label]) -> None:
    stored_record = through(record({"label": kind(order)}))
    Order.objects.update(number="8")

    label = stored_record["result"]["label"]

    assert type(label) is kind
    assert type(label.order) is Order
    assert label.text == "8"


def test_a_bound_method_is_that_of_the_fetched_instance(order: Order) -> None:
    stored_record = through(record(order.get_deferred_fields))

    assert stored_record["result"].__self__ == order
    assert stored_record["result"]() == set()


@pytest.mark.parametrize("kind", [Label, Fresh])
def test_a_state_is_read_without_making_the_object(
    kind: type[Label], django_assert_num_queries: Any
) -> None:
    stored_record = through(record([kind(stored(Order, pk=5, number="7"))]))

    with django_assert_num_queries(0):
        assert stored_record["status"] == "SUCCESS"
        assert stored_record["task_id"] == "1"
    with pytest.raises(Order.DoesNotExist):
        stored_record["result"]


def test_a_bare_object_is_made_on_the_fetched_instance(order: Order) -> None:
    assert through([Label(order)])[0].text == "7"


def test_the_error_of_a_task_is_reported_whatever_it_holds(django_assert_num_queries: Any) -> None:
    error = {
        "exc_type": "Gone",
        "exc_message": ["gone", Label(stored(Order, pk=5, number="7"))],
        "exc_module": "shop",
    }

    with django_assert_num_queries(0):
        result = through(record(error, "FAILURE"))["result"]

    assert (result["exc_type"], result["exc_message"][0]) == ("Gone", "gone")


def test_a_chord_part_with_such_an_object_arrives(order: Order) -> None:
    part = through([1, "an-id", "SUCCESS", Label(order)])

    assert part[3].text == "7"
