"""Bulk dispatch: which messages are sent for which rows, and what is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from celery import chord, group
from celery.backends.rpc import RPCBackend
from django.db import transaction

from cereal_methods import BulkResult
from cereal_methods.exceptions import (
    BulkInterrupted,
    InvalidModelTask,
    ResultsNotKept,
    SerializerNotAccepted,
    UnsavedInstance,
    UnsupportedKey,
)
from cereal_methods.outcomes import message_id
from tests.celery import app
from tests.shop.models import Customer, Document, Gift, Line, Order, PaidOrder

from .bodies import stored

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

Sent = Callable[[], list[Any]]


def orders(many: int = 5, using: str = "default") -> list[Order]:
    return Order.objects.using(using).bulk_create(Order(number=str(i)) for i in range(many))


def rows_in(messages: list[Any]) -> list[tuple[str, list[Any], str]]:
    """Return label, keys and database of the rows in each message."""
    found = []
    for message in messages:
        this = message.payload[1].plainly(references=True)["this"]
        found.append((this.label, list(this.keys), this.using))  # of one row its reference
    return found


def test_without_a_batch_size_each_row_has_a_message(sent: Sent) -> None:
    rows = orders()

    result = Order.trace.bulk_delay(Order.objects.all(), "x", 5)

    messages = sent()
    assert rows_in(messages) == [("shop.Order", [row.pk], "default") for row in rows]
    assert [message.headers["id"] for message in messages] == [
        message_id(result.id, number) for number in range(5)
    ]
    assert messages[0].payload[0].plainly(references=True) == ["x", 5]
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
    assert query["sql"] == (
        'SELECT "shop_order"."id" AS "pk" FROM "shop_order" ORDER BY "shop_order"."id" ASC'
    ) or query["sql"].startswith('SELECT "shop_order"."id"')
    assert len(sent()) == 3


@pytest.mark.parametrize(
    "rows",
    [
        lambda found: found,
        lambda found: tuple(row.pk for row in found),
        lambda found: (row.pk for row in found),
        lambda found: [str(row.pk) for row in found],
        lambda found: Order.objects,
        lambda found: Order.objects.order_by("-pk").reverse(),
        lambda found: iter(found),
    ],
)
def test_rows_may_be_instances_keys_or_a_manager(rows: Any, sent: Sent) -> None:
    found = orders(3)

    Order.trace.bulk_apply_async(rows(found), batch_size=3)

    assert rows_in(sent()) == [("shop.Order", [row.pk for row in found], "default")]


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
def test_a_row_that_a_join_repeats_is_sent_once(order: Any, sent: Sent) -> None:
    rows = orders(3)
    for row in rows:
        for position in range(3):
            Line.objects.create(order=row, position=position)

    queryset = Order.objects.filter(line__position__lt=3).order_by(*order)
    result = Order.trace.bulk_delay(queryset)

    assert sorted(pks[0] for _, pks, _ in rows_in(sent())) == [row.pk for row in rows]
    assert result.total == 3


def test_rows_that_are_given_twice_are_sent_twice(sent: Sent) -> None:
    (row,) = orders(1)

    assert Order.trace.bulk_apply_async([row, row.pk], batch_size=5).total == 2
    assert rows_in(sent()) == [("shop.Order", [row.pk, row.pk], "default")]


@pytest.mark.parametrize("rows", [lambda: Order.objects.none(), list, lambda: iter(())])
def test_no_rows_are_a_finished_result(rows: Any, sent: Sent) -> None:
    result = Order.trace.bulk_apply_async(rows(), batch_size=5)

    assert sent() == []
    assert result.total == result.completed == 0
    assert result.progress() == 1
    assert result.ready()
    assert result.get() == []


def test_rows_of_another_database_are_sent_for_it(sent: Sent) -> None:
    old = orders(2, using="archive")
    new = orders(1)

    Order.trace.bulk_apply_async(Order.objects.using("archive"), batch_size=5)
    Order.trace.bulk_apply_async([*old, *new], batch_size=5)

    assert rows_in(sent()) == [
        ("shop.Order", [row.pk for row in old], "archive"),
        ("shop.Order", [row.pk for row in old], "archive"),
        ("shop.Order", [row.pk for row in new], "default"),
    ]


def test_rows_of_children_are_rows(sent: Sent) -> None:
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


def _same(value: Any) -> Any:
    return value


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: Customer.objects.all(),
        InvalidModelTask,
        "tests.shop.models.Order.trace takes rows of shop.Order; it was given a queryset of "
        "shop.Customer.",
    ),
    (
        lambda: [stored(Customer, pk=5)],
        InvalidModelTask,
        "Rows of shop.Order are sent, and <shop.Customer 5> is none of them.",
    ),
    (
        lambda: Order.objects.values("pk"),
        UnsupportedKey,
        "tests.shop.models.Order.trace takes rows; a values() or values_list() queryset has none. "
        "Leave that out, or pass a list of primary keys.",
    ),
    (
        lambda: ["five"],
        UnsupportedKey,
        "'five' is neither an instance nor a primary key of shop.Order.",
    ),
    (
        lambda: [None],
        UnsupportedKey,
        "None is neither an instance nor a primary key of shop.Order.",
    ),
    (
        lambda: [Order()],
        UnsavedInstance,
        "This shop.Order has no row in the database: it was never saved, or it was deleted. Only "
        "saved instances can be passed to a task; save it first.",
    ),
    *(
        (
            partial(_same, value),
            InvalidModelTask,
            "tests.shop.models.Order.trace takes many rows: a queryset, or an iterable of instances"
            f" or primary keys. It was given {type(value).__name__}. For one row there is delay().",
        )
        for value in (5, "five", {"pk": 5}, stored(Order, pk=5))
    ),
]


@pytest.mark.parametrize(("rows", "error", "message"), REFUSED)
def test_what_are_no_rows_is_refused(
    rows: Any, error: type[Exception], message: str, sent: Sent
) -> None:
    with pytest.raises(error) as caught:
        Order.trace.bulk_delay(rows())

    assert str(caught.value) == message
    assert sent() == []


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "5", True])
def test_a_batch_has_a_number_of_rows(batch_size: Any, sent: Sent) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Order.trace.bulk_apply_async([1], batch_size=batch_size)

    assert str(caught.value) == (
        f"tests.shop.models.Order.trace: batch_size is {batch_size!r}. It must be a whole number "
        "of rows, at least 1, or None for one message a row."
    )


@pytest.mark.parametrize("option", ["task_id", "link", "link_error", "chord"])
def test_options_of_one_task_are_refused(option: str) -> None:
    with pytest.raises(TypeError) as caught:
        Order.trace.bulk_apply_async([1], **{option: "x"})

    assert str(caught.value) == (
        f"tests.shop.models.Order.trace cannot be sent in bulk with {option}=, which is for one "
        "task. Use a group, as in chord(Model.method.group(rows), callback)."
    )


def test_a_serializer_that_no_worker_accepts_is_refused(sent: Sent) -> None:
    for name in ("pickle", "yaml"):
        with pytest.raises(SerializerNotAccepted, match=f"accept_content lacks '{name}'"):
            Order.trace.bulk_apply_async([1], serializer=name)
    assert sent() == []


def test_self_is_not_among_the_arguments_of_many(sent: Sent) -> None:
    with pytest.raises(TypeError) as caught:
        Order.itself.bulk_delay([1], this=5)

    assert str(caught.value) == (
        "tests.shop.models.Order.itself was given this= for many rows. The rows come first, and "
        "alone."
    )


def test_arguments_that_do_not_fit_are_refused(sent: Sent) -> None:
    orders(1)

    with pytest.raises(TypeError, match=r"^Order\.ship\(\) missing 1 required positional argument"):
        Order.ship.bulk_delay(Order.objects.all())
    assert sent() == []


def test_an_instance_and_a_class_method_have_no_rows() -> None:
    for method in (stored(Order, pk=5).ship, Order.number_all, Order.paid.count_all):
        with pytest.raises(InvalidModelTask) as caught:
            method.bulk_delay([1])
        assert str(caught.value).endswith(
            " is sent for many rows from the class, and takes them: Model.method.bulk_delay(rows)."
        )


def test_an_error_tells_how_far_it_got(sent: Sent) -> None:
    rows = orders(3)

    with pytest.raises(BulkInterrupted) as caught:
        Order.trace.bulk_apply_async([*rows, Order()], batch_size=2)

    assert str(caught.value) == (
        "tests.shop.models.Order.trace was sent for 2 rows and not for the next: UnsavedInstance: "
        "This shop.Order has no row in the database: it was never saved, or it was deleted. Only "
        "saved instances can be passed to a task; save it first. The result of those rows is this "
        "error's attribute result."
    )
    assert caught.value.result.total == 2
    assert isinstance(caught.value.__cause__, UnsavedInstance)
    assert len(sent()) == 1


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

    found = Order.trace.group(Order.objects.all(), "x")

    assert isinstance(found, group)
    assert [task.kwargs["this"]["cereal_methods.reference"][1] for task in found.tasks] == [
        row.pk for row in rows
    ]
    assert [task.args for task in found.tasks] == [("x",)] * 3


def test_a_group_stands_in_a_chord(eager: None) -> None:
    rows = orders(2)

    result = chord(Order.trace.group(rows), rows[0].trace.s()).delay()

    assert result.get() == ["0", [["0"], ["1"]]]


def test_an_eager_bulk_runs_every_row(eager: None) -> None:
    rows = orders(4)
    Order.objects.filter(pk=rows[1].pk).update(number="bad")
    Order.objects.filter(pk=rows[2].pk).delete()

    result = Order.fail_if_bad.bulk_apply_async(rows, batch_size=3)

    counts = result.counts()
    assert counts is not None
    assert (counts.total, counts.succeeded, counts.failed, counts.missing) == (4, 2, 1, 1)
    assert [failure.key for failure in result.failures()] == [rows[1].pk, rows[2].pk]
    assert result.failures()[0].error == "ValueError: order bad fails"
    assert result.get(propagate=False)[::3] == ["0", "3"]
    with pytest.raises(ValueError, match="order bad fails"):
        result.get()


def test_what_ignores_its_results_tells_nothing(sent: Sent) -> None:
    rows = orders(2)

    result = Order.trace.bulk_apply_async(rows, ignore_result=True)

    assert result.total == 2
    assert [result.completed, result.succeeded, result.failed, result.missing] == [None] * 4
    assert result.progress() is None
    for ask in (result.get, result.ready, result.failures, result.save, result.wait):
        with pytest.raises(ResultsNotKept) as caught:
            ask()
        assert str(caught.value) == (
            "Nothing tells what became of the rows: the task ignores its results, or the app has "
            "no result backend that keeps them, as rpc:// does not. Set CELERY_RESULT_BACKEND, and "
            "no ignore_result."
        )


def test_a_backend_for_one_reader_keeps_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_backend_cache", RPCBackend(app))
    monkeypatch.setattr(app, "_local_backend", None, raising=False)
    result = BulkResult(str(uuid.uuid4()), app=app)

    assert isinstance(app.backend, RPCBackend)
    assert result.progress() is None
    with pytest.raises(ResultsNotKept):
        result.get()
    with pytest.raises(ResultsNotKept):
        BulkResult.restore(result.id)


def test_a_result_is_saved_and_restored(sent: Sent) -> None:
    result = Order.trace.bulk_apply_async(orders(5), batch_size=2)

    result.save()

    found = BulkResult.restore(result.id)
    assert found is not None
    assert (found.id, found.total, found.messages) == (result.id, 5, 3)
    assert repr(found) == f"<BulkResult {result.id}: 5 rows>"
    result.delete()
    assert BulkResult.restore(result.id) is None
    assert app.backend is not None


@pytest.mark.parametrize("other", [5, [1, 2, 3, 4], "abc"])
def test_what_is_no_bulk_is_not_restored(other: Any) -> None:
    app.backend.store_result("not-a-bulk", other, "SUCCESS")

    assert BulkResult.restore("not-a-bulk") is None
