"""The assertions of a recorder, and their messages."""

from __future__ import annotations

from unittest.mock import ANY

import pytest

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidModelTask, RecordingError, UnsavedInstance
from cereal_methods.testing import record_tasks
from tests.celery import app
from tests.shop.models import Customer, Document, Gift, Order
from tests.shop.tasks import plain, total, wait

from .calls import values_of

pytestmark = pytest.mark.django_db


def test_positional_keyword_and_default_arguments_are_equal(order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay(carrier="dhl")

    tasks.assert_sent(order.ship, "dhl")
    tasks.assert_sent(order.ship, carrier="dhl", express=False)
    tasks.assert_not_sent(order.ship, "dhl", express=True)
    tasks.assert_not_sent(order.ship, "ups")


def test_without_arguments_any_arguments_match(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")

    assert tasks.assert_sent(order.ship) is tasks[0]
    tasks.assert_not_sent(other.ship)
    tasks.assert_not_sent(order.count)


def test_on_the_class_any_row_matches_or_the_first_argument(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("dhl")
        other.ship.delay("ups")

    tasks.assert_sent(Order.ship)
    tasks.assert_sent(Order.ship, other, "ups")
    tasks.assert_not_sent(Order.ship, other, "dhl")
    assert values_of(tasks.of(Order.ship)) == [
        ("ship", 5, "dhl"),
        ("ship", 6, "ups"),
    ]
    assert values_of(tasks.of(other.ship)) == [("ship", 6, "ups")]


def test_it_matters_which_model_inherits_the_method(order: Order) -> None:
    gift = Gift.objects.create()
    with record_tasks() as tasks:
        gift.stamp.delay("a gift")
        Document.objects.create().publish.delay()

    tasks.assert_sent(gift.stamp, "a gift")
    tasks.assert_not_sent(order.stamp)
    tasks.assert_sent(Document.publish)


def test_managers_and_classes_send_no_row() -> None:
    with record_tasks() as tasks:
        Order.paid.count_all.delay(1)
        Order.number_all.delay(["a"])

    tasks.assert_sent(Order.paid.count_all, 1)
    tasks.assert_sent(Order.number_all, ["a"], last=None)
    tasks.assert_not_sent(Order.number_all, ["b"])
    assert values_of(tasks) == [
        ("count_all", None, 1),
        ("number_all", None, ["a"]),
    ]


def test_methods_that_take_their_task_are_expected_without_it(order: Order) -> None:
    with record_tasks() as tasks:
        order.retry_until.delay(2)

    tasks.assert_sent(order.retry_until, tries=2)
    with pytest.raises(TypeError):
        tasks.assert_sent(order.retry_until, "task", 2)


def test_functions_and_names_of_tasks(order: Order) -> None:
    with record_tasks() as tasks:
        wait.delay(order, 1.5)
        plain.delay("a", 1)
        app.send_task("billing.charge", [5], {"currency": "EUR"})

    tasks.assert_sent(wait, order, seconds=1.5)
    tasks.assert_sent(plain, "a", 1)
    tasks.assert_sent("tests.shop.tasks.plain", "a", 1)
    tasks.assert_sent("billing.charge", 5, currency="EUR")
    tasks.assert_not_sent("billing.charge", 6, currency="EUR")
    assert values_of(tasks) == [
        ("wait", None, ModelReference.of(order), 1.5),
        ("plain", None, "a", 1),
        ("charge", None, 5, {"currency": "EUR"}),
    ]


def test_instances_at_any_depth_are_rows(order: Order, other: Order) -> None:
    customer = Customer.objects.create(name="Ann")
    data = {"pages": [[order]], "customers": [{"customer": customer}]}
    with record_tasks() as tasks:
        total.delay(data)

    tasks.assert_sent(total, data)
    tasks.assert_not_sent(total, {**data, "pages": [[other]]})


def test_values_that_json_changes_match_as_they_were_sent(order: Order) -> None:
    with record_tasks() as tasks:
        order.itself.apply_async([(1, 2)], {"by": {1: "a"}}, serializer="cereal-json")

    tasks.assert_sent(order.itself, (1, 2), by={1: "a"})
    tasks.assert_sent(order.itself, [1, 2], by={"1": "a"})
    tasks.assert_not_sent(order.itself, (1, 3), by={1: "a"})


@pytest.mark.parametrize("name", ["cereal-pickle", "cereal-json"])
def test_any_of_mock_stands_for_any_argument(name: str, order: Order) -> None:
    with record_tasks() as tasks:
        order.ship.apply_async(["dhl"], {"express": True}, serializer=name)

    tasks.assert_sent(order.ship, ANY, express=True)
    tasks.assert_not_sent(order.ship, ANY, express=False)


def test_querysets_are_the_rows_that_they_have(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        total.delay(Order.objects.order_by("pk"))

    tasks.assert_sent(total, Order.objects.order_by("pk"))
    tasks.assert_not_sent(total, Order.objects.filter(pk=5))


def test_a_failed_assertion_shows_what_was_sent(order: Order, other: Order) -> None:
    with record_tasks() as tasks:
        order.ship.delay("ups", express=True)
        other.count.apply_async(countdown=60, queue="slow")

    with pytest.raises(AssertionError) as caught:
        tasks.assert_sent(order.ship, "dhl")

    assert str(caught.value) == (
        "shop.Order.ship <shop.Order 5> 'dhl' was not sent. Sent were:\n"
        "  1. shop.Order.ship <shop.Order 5> 'ups' express=True\n"
        "  2. shop.Order.count <shop.Order 6> (queue 'slow', in 60 s)"
    )


def test_other_assertions_show_what_was_sent_too(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(AssertionError) as nothing:
            tasks.assert_sent(Order.ship)
        order.ship.delay("ups")
    with pytest.raises(AssertionError) as was_sent:
        tasks.assert_not_sent(order.ship)
    with pytest.raises(AssertionError) as too_few:
        tasks.assert_num_sent(2)
    with pytest.raises(AssertionError) as too_many:
        tasks.assert_num_sent(0, order.ship)

    sent = "Sent were:\n  1. shop.Order.ship <shop.Order 5> 'ups'"
    name = "shop.Order.ship <shop.Order 5>"
    assert str(nothing.value) == "tests.shop.models.Order.ship was not sent. Nothing was sent."
    assert str(was_sent.value) == f"{name} was sent. {sent}"
    assert str(too_few.value) == f"1 message was sent, 2 expected. {sent}"
    assert str(too_many.value) == f"1 message was sent of {name}, 0 expected. {sent}"
    tasks.assert_num_sent(1)
    tasks.assert_num_sent(1, Order.ship)


def test_long_lists_are_truncated(order: Order) -> None:
    with record_tasks() as tasks:
        for _ in range(52):
            order.count.delay()
    with pytest.raises(AssertionError) as caught:
        tasks.assert_num_sent(1)

    lines = str(caught.value).splitlines()
    assert len(lines) == 52
    assert lines[-1] == "  and 2 more"


def test_bulks_are_found_by_their_rows(order: Order, other: Order) -> None:
    Order.objects.create(pk=7)
    with record_tasks() as tasks:
        Order.ship.bulk_delay(Order.objects.filter(pk__lt=7), "dhl")
        Order.ship.bulk_apply_async([5, 6, 7], ["ups"], batch_size=2)

    assert values_of(tasks) == [
        ("ship", 5, "dhl"),
        ("ship", 6, "dhl"),
        ("ship", (5, 6), "ups"),
        ("ship", 7, "ups"),
    ]
    assert [len(task.call.rows) for task in tasks] == [1, 1, 2, 1]
    tasks.assert_sent(other.ship, "dhl")
    tasks.assert_sent(order.ship, "ups")
    assert len(tasks.of(other.ship)) == 2
    tasks.assert_not_sent(Order.ship, Order.objects.get(pk=7), "dhl")


def test_a_call_that_cannot_be_sent_cannot_be_expected(order: Order) -> None:
    with record_tasks() as tasks:
        with pytest.raises(TypeError) as too_many:
            tasks.assert_not_sent(order.ship, "dhl", "ups")
        with pytest.raises(RecordingError) as called:
            tasks.assert_not_sent(order.count())
        with pytest.raises(RecordingError, match=r"^Model\.save is not a task"):
            tasks.assert_not_sent(order.save)
        with pytest.raises(InvalidModelTask):
            tasks.assert_not_sent(Order.ship, "dhl")
        with pytest.raises(UnsavedInstance):
            tasks.assert_not_sent(Order().ship)

    assert str(too_many.value) == (
        "tests.shop.models.Order.ship cannot be sent with these arguments: too many positional "
        "arguments."
    )
    assert str(called.value) == (
        "A value of type int is not a task, so it cannot be expected. Pass a method without "
        "calling it (order.ship or Order.ship), a Celery task, or a task's name."
    )
