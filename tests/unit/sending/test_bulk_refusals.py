"""Bulks that are refused, and bulks that are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from cereal_methods.exceptions import (
    BulkInterrupted,
    InvalidModelTask,
    SerializerNotAccepted,
    UnsavedInstance,
    UnsupportedKey,
)
from tests.shop.models import Customer, Order

from ..bodies import stored
from .orders import orders

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

Sent = Callable[[], list[Any]]


def _same(value: Any) -> Any:
    return value


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: Customer.objects.all(),
        InvalidModelTask,
        "tests.shop.models.Order.trace takes rows of shop.Order, and got a queryset of "
        "shop.Customer.",
    ),
    (
        lambda: [stored(Customer, pk=5)],
        InvalidModelTask,
        "<shop.Customer 5> is not a row of shop.Order.",
    ),
    (
        lambda: Order.objects.values("pk"),
        UnsupportedKey,
        "tests.shop.models.Order.trace takes rows, which a values() or values_list() queryset "
        "does not return. Leave that out, or pass a list of primary keys.",
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
def test_values_that_are_not_rows_are_refused(
    rows: Any, error: type[Exception], message: str, sent: Sent
) -> None:
    with pytest.raises(error) as caught:
        Order.trace.bulk_delay(rows())

    assert str(caught.value) == message
    assert sent() == []


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "5", True])
def test_an_invalid_batch_size_is_refused(batch_size: Any, sent: Sent) -> None:
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


def test_a_serializer_that_workers_do_not_accept_is_refused(sent: Sent) -> None:
    for name in ("pickle", "yaml"):
        with pytest.raises(SerializerNotAccepted, match=f"accept_content lacks '{name}'"):
            Order.trace.bulk_apply_async([1], serializer=name)
    assert sent() == []


def test_arguments_of_a_bulk_do_not_include_self(sent: Sent) -> None:
    with pytest.raises(TypeError) as caught:
        Order.itself.bulk_delay([1], this=5)

    assert str(caught.value) == (
        "tests.shop.models.Order.itself got this= for many rows. Pass the rows as the first "
        "argument instead."
    )


def test_arguments_that_do_not_fit_are_refused(sent: Sent) -> None:
    orders(1)

    with pytest.raises(TypeError, match=r"^Order\.ship\(\) missing 1 required positional argument"):
        Order.ship.bulk_delay(Order.objects.all())
    assert sent() == []


def test_an_instance_or_a_class_method_cannot_be_sent_in_bulk() -> None:
    for method in (stored(Order, pk=5).ship, Order.number_all, Order.paid.count_all):
        with pytest.raises(InvalidModelTask) as caught:
            method.bulk_delay([1])
        assert str(caught.value).endswith(
            " cannot be sent for many rows from here. Send it from the class: "
            "Model.method.bulk_delay(rows)."
        )


def test_an_interrupted_bulk_has_the_result_of_what_was_sent(sent: Sent) -> None:
    rows = orders(3)

    with pytest.raises(BulkInterrupted) as caught:
        Order.trace.bulk_apply_async([*rows, Order()], batch_size=2)

    assert str(caught.value) == (
        "tests.shop.models.Order.trace was sent for 2 rows only: UnsavedInstance: "
        "This shop.Order has no row in the database: it was never saved, or it was deleted. Only "
        "saved instances can be passed to a task; save it first. The error's attribute result is "
        "the result of those rows."
    )
    assert caught.value.result.total == 2
    assert isinstance(caught.value.__cause__, UnsavedInstance)
    assert len(sent()) == 1
