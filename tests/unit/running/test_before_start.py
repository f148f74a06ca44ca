"""What handlers see and change before a method starts, and which changes the method gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery import Task
from django.core.serializers import serialize
from django.db import models

from cereal_methods import model_task
from cereal_methods.rows.reference import ModelReference
from cereal_methods.testing import record_tasks
from tests.celery import app
from tests.shop.models import Customer, Order

from ..bodies import FORMATS
from ..values import Box

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]

#: What the method was called with.
received: list[tuple[Any, Any]] = []


class Curious(Task):  # type: ignore[type-arg]
    """A task class whose handler is the test's."""

    handler: Callable[[Any, Any], Any]

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Call the test's handler."""
        type(self).handler(args, kwargs)


class Looking(Task):  # type: ignore[type-arg]
    """A task class whose ``before_start`` reads a field of the row."""

    seen: list[str]

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Read a field."""
        self.seen.append(kwargs["this"].name)


class Calling(Task):  # type: ignore[type-arg]
    """A task class whose ``__call__`` reads a field of the row."""

    seen: list[str]

    def __call__(self, **kwargs: Any) -> Any:
        """Read a field, and run the task."""
        self.seen.append(kwargs["this"].name)
        return self.run(**kwargs)


@pytest.fixture(params=FORMATS)
def serializer(request: pytest.FixtureRequest) -> str:
    """The name of each format in turn."""
    name: str = request.param
    return name


@pytest.fixture
def customer() -> Any:
    """A customer with a method that notes its arguments."""

    class Seen(Customer):
        class Meta:
            app_label = "shop"
            proxy = True

        @model_task(base=Curious)
        def go(self, *args: Any, **kwargs: Any) -> None:
            received.append((args, kwargs))

    received.clear()
    return Seen.objects.create(name="Ann")


def send(
    customer: Any, serializer: str, handler: Callable[[Any, Any], Any], *args: Any, **kwargs: Any
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Send the method, and return the arguments that it was called with."""
    Curious.handler = staticmethod(handler)
    with record_tasks() as tasks:
        customer.go.apply_async(args, kwargs, serializer=serializer)
        tasks.run()
    return received[-1]


def test_a_field_of_a_row_may_have_any_name(customer: Any, serializer: str) -> None:
    class Labelled(models.Model):
        label = models.CharField(max_length=20, db_column="number")
        reference = models.CharField(max_length=20, db_column="status")

        class Meta:
            app_label = "shop"
            db_table = Order._meta.db_table
            managed = False

    other = Labelled.objects.get(pk=Order.objects.create(number="a field", status="another").pk)
    seen = []

    def handle(args: Any, kwargs: Any) -> None:
        row = kwargs["other"]
        seen.append((row.label, row.reference, row.using))
        assert serialize("json", [row]) == serialize("json", [other])

    send(customer, serializer, handle, other=other)

    assert seen == [("a field", "another", "default")]


def test_the_method_gets_the_changes_that_a_handler_makes_beside_rows(
    customer: Any, serializer: str
) -> None:
    def handle(args: Any, kwargs: Any) -> None:
        args[0].append(3)
        kwargs["of"]["more"] = 4
        kwargs["of"]["deep"][0]["most"] = 5

    of = {"other": customer, "deep": [{"other": customer}]}
    args, kwargs = send(customer, serializer, handle, [2], of=of)

    assert args == ([2, 3],)
    assert kwargs["of"] == {"other": customer, "more": 4, "deep": [{"other": customer, "most": 5}]}


def test_objects_have_the_rows_of_the_method_wherever_a_handler_has_moved_them(
    customer: Any,
) -> None:
    def handle(args: Any, kwargs: Any) -> None:
        args[0].insert(0, "first")
        kwargs["boxes"].reverse()

    other = type(customer).objects.create(name="Bob")
    boxes = [Box(customer), "between", Box(other)]
    every = {Box(other), Box(customer)}
    args, kwargs = send(customer, "cereal-pickle", handle, [1], boxes=boxes, every=every)

    assert args == (["first", 1],)
    last, between, first = kwargs["boxes"]
    assert (last.content, between, first.content) == (other, "between", customer)
    rows = [last.content, first.content, *(box.content for box in kwargs["every"])]
    assert {type(row) for row in rows} == {type(customer)}


def test_code_that_reads_arguments_by_c_functions_gets_them(customer: Any, serializer: str) -> None:
    sizes = []

    def handle(args: Any, kwargs: Any) -> None:  # as an encoder does that is written in C
        sizes.append((list.__len__(args), dict.__len__(kwargs)))

    send(customer, serializer, handle, 1, 2, other=customer)

    assert sizes == [(2, 2)]


@pytest.mark.parametrize("base", [Looking, Calling])
@pytest.mark.parametrize("form", ["key", "plain form", "instance"])
def test_handlers_get_a_row_that_was_sent_by_its_key(serializer: str, base: Any, form: str) -> None:
    class Looked(Customer):
        class Meta:
            app_label = "shop"
            proxy = True

        @model_task(base=base)
        def go(self) -> str:
            return type(self).__name__

    base.seen = []
    row = Looked.objects.create(name="Ann")
    forms = {"key": row.pk, "plain form": ModelReference.of(row).as_plain(), "instance": row}
    with record_tasks() as tasks:
        result = app.send_task(row.go.name, (), {"this": forms[form]}, serializer=serializer)
        tasks.run()
        assert result.get() == "Looked"

    assert base.seen == ["Ann"]


def test_a_row_that_a_handler_saves_as_a_copy_is_the_copy(customer: Any, serializer: str) -> None:
    texts = []

    def handle(args: Any, kwargs: Any) -> None:
        row = kwargs["other"]
        row.pk, row._state.adding, row.name = None, True, "a copy"
        row.save()
        texts.append((row.pk, row.id, repr(row)))
        args.append(row)

    (copied,), kwargs = send(customer, serializer, handle, other=customer)

    assert copied.name == "a copy"
    assert copied.pk == kwargs["other"].pk != customer.pk
    assert texts == [(copied.pk, copied.pk, f"<shop.Seen {copied.pk}>")]
