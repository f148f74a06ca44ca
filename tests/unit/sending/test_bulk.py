"""Bulk dispatch: which messages are sent for which rows, and what is refused."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from celery import chord, group
from django.db import models, transaction

from cereal_methods import model_task
from cereal_methods.results.ids import message_id
from tests.shop.models import Document, Gift, Line, Order, PaidOrder

from .orders import orders

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

Sent = Callable[[], list[Any]]


def rows_in(messages: list[Any]) -> list[tuple[str, list[Any], str]]:
    """Return label, keys and database of the rows in each message."""
    keys = []
    for message in messages:
        this = message.payload[1].with_references()["this"]
        keys.append((this.label, list(this.keys), this.using))  # of one row its reference
    return keys


def test_without_a_batch_size_each_row_has_a_message(sent: Sent) -> None:
    rows = orders()

    result = Order.trace.bulk_delay(Order.objects.all(), "x", 5)

    messages = sent()
    assert rows_in(messages) == [("shop.Order", [row.pk], "default") for row in rows]
    assert [message.headers["id"] for message in messages] == [
        message_id(result.id, number) for number in range(5)
    ]
    assert messages[0].payload[0].with_references() == ["x", 5]
    assert {message.headers["task"] for message in messages} == {"tests.shop.models.Order.trace"}
    assert (result.total, result.messages, len(result)) == (5, 5, 5)


def test_a_batch_is_one_message(sent: Sent) -> None:
    keys = [row.pk for row in orders()]

    result = Order.trace.bulk_apply_async(Order.objects.all(), ["x"], batch_size=2)

    assert [pks for _, pks, _ in rows_in(sent())] == [keys[:2], keys[2:4], keys[4:]]
    assert (result.total, result.messages) == (5, 3)


def test_the_keys_of_a_queryset_are_one_query(django_assert_num_queries: Any, sent: Sent) -> None:
    orders()

    with django_assert_num_queries(1) as queries:
        Order.trace.bulk_apply_async(Order.objects.all(), batch_size=2)

    (query,) = queries.captured_queries
    assert query["sql"].partition(" FROM ")[2] in (
        '"shop_order" ORDER BY 1 ASC',
        '"shop_order" ORDER BY "shop_order"."id" ASC',
    )
    assert len(sent()) == 3


@pytest.mark.parametrize(
    "rows",
    [
        lambda result: result,
        lambda result: tuple(row.pk for row in result),
        lambda result: (row.pk for row in result),
        lambda result: [str(row.pk) for row in result],
        lambda result: Order.objects,
        lambda result: Order.objects.order_by("-pk").reverse(),
        lambda result: iter(result),
    ],
)
def test_rows_may_be_instances_keys_or_a_manager(rows: Any, sent: Sent) -> None:
    result = orders(3)

    Order.trace.bulk_apply_async(rows(result), batch_size=3)

    assert rows_in(sent()) == [("shop.Order", [row.pk for row in result], "default")]


def test_options_reach_every_message(sent: Sent) -> None:
    orders(2)

    Order.trace.bulk_apply_async(Order.objects.all(), priority=3, headers={"tenant": "a"})

    for message in sent():
        assert message.properties["priority"] == 3
        assert message.headers["tenant"] == "a"


def test_a_slice_and_its_order_are_kept(sent: Sent) -> None:
    keys = [row.pk for row in orders()]

    Order.trace.bulk_apply_async(Order.objects.order_by("-pk")[1:4], batch_size=9)

    assert [pks for _, pks, _ in rows_in(sent())] == [[keys[3], keys[2], keys[1]]]


@pytest.mark.parametrize("order", [(), ("number",), ("-pk",)])
def test_a_row_repeated_by_a_join_is_sent_once(order: Any, sent: Sent) -> None:
    rows = orders(3)
    for row in rows:
        for position in range(3):
            Line.objects.create(order=row, position=position)

    queryset = Order.objects.filter(line__position__lt=3).order_by(*order)
    result = Order.trace.bulk_delay(queryset)

    assert sorted(pks[0] for _, pks, _ in rows_in(sent())) == [row.pk for row in rows]
    assert result.total == 3


def test_a_row_that_is_listed_twice_is_sent_twice(sent: Sent) -> None:
    (row,) = orders(1)

    assert Order.trace.bulk_apply_async([row, row.pk], batch_size=5).total == 2
    assert rows_in(sent()) == [("shop.Order", [row.pk, row.pk], "default")]


@pytest.mark.parametrize("rows", [lambda: Order.objects.none(), list, lambda: iter(())])
def test_a_bulk_without_rows_is_finished(rows: Any, sent: Sent) -> None:
    result = Order.trace.bulk_apply_async(rows(), batch_size=5)

    assert sent() == []
    assert result.total == result.completed == 0
    assert result.progress() == 1
    assert result.ready()
    assert result.get() == []


def test_rows_of_another_database_keep_its_alias(sent: Sent) -> None:
    old = orders(2, using="archive")
    new = orders(1)

    Order.trace.bulk_apply_async(Order.objects.using("archive"), batch_size=5)
    Order.trace.bulk_apply_async([*old, *new], batch_size=5)

    assert rows_in(sent()) == [
        ("shop.Order", [row.pk for row in old], "archive"),
        ("shop.Order", [row.pk for row in old], "archive"),
        ("shop.Order", [row.pk for row in new], "default"),
    ]


def test_rows_of_child_models_are_accepted(sent: Sent) -> None:
    gift = Gift.objects.create()

    Order.trace.bulk_delay(Gift.objects.all())
    Order.trace.bulk_delay([gift])
    PaidOrder.trace.bulk_delay(PaidOrder.objects.filter(pk=gift.pk))

    assert [label for label, _, _ in rows_in(sent())] == [
        "shop.Gift",
        "shop.Gift",
        "shop.PaidOrder",
    ]


def test_keys_of_any_kind_are_sent(sent: Sent) -> None:
    document = Document.objects.create()

    Document.publish.bulk_delay([str(document.pk)])

    assert rows_in(sent()) == [("shop.Document", [document.pk], "default")]


def test_a_bulk_waits_for_the_transaction_of_its_rows(sent: Sent) -> None:
    with transaction.atomic(using="archive"):
        rows = orders(2, using="archive")
        one = Order.trace.bulk_delay_on_commit(Order.objects.using("archive"))
        two = Order.trace.bulk_apply_async_on_commit(rows, batch_size=2)
        three = Order.ship_on_commit.bulk_delay(rows)
        assert sent() == []
        assert one.total == 0

    assert len(sent()) == 5
    assert [one.total, two.total, three.total] == [2, 2, 2]


def test_a_bulk_that_is_rolled_back_is_not_sent(sent: Sent) -> None:
    rows = orders(2)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Order.trace.bulk_delay_on_commit(rows)
        1 / 0  # noqa: B018

    assert sent() == []


def test_a_group_has_a_signature_for_each_row() -> None:
    rows = orders(3)

    result = Order.trace.group(Order.objects.all(), "x")

    assert isinstance(result, group)
    assert [task.kwargs["this"]["cereal_methods.reference"][1] for task in result.tasks] == [
        row.pk for row in rows
    ]
    assert [task.args for task in result.tasks] == [("x",)] * 3


def test_a_group_can_be_the_header_of_a_chord(eager: None) -> None:
    rows = orders(2)

    result = chord(Order.trace.group(rows), rows[0].trace.s()).delay()

    assert result.get() == ["0", [["0"], ["1"]]]


def test_the_transaction_of_keys_from_a_generator_is_that_of_the_model(sent: Sent) -> None:
    rows = orders(2)

    with transaction.atomic():
        Order.trace.bulk_delay_on_commit(row.pk for row in rows)
        assert sent() == []

    assert len(sent()) == 2


def test_a_result_is_not_due_before_its_messages(sent: Sent) -> None:
    eta = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)

    result = Order.trace.bulk_apply_async(orders(1), eta=eta)

    assert result.sent_at == pytest.approx(eta.timestamp())


def test_with_typing_false_arguments_are_not_checked(new_models: None, sent: Sent) -> None:
    class Untyped(models.Model):
        class Meta:
            app_label = "shop"

        @model_task(typing=False)
        def go(self) -> None: ...

    Untyped.go.bulk_delay([1], "surplus")  # type: ignore[call-arg]

    assert len(sent()) == 1
