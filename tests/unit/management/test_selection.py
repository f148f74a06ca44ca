"""The rows that run_model_task's options select."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import OperationalError
from django.db.models import QuerySet

from cereal_methods import ModelReference
from cereal_methods.management.selection import Selection
from tests.shop.models import Customer, Document, Line, Order

from .commands import keys_in, orders, send, wire_in

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [],
            "Select rows of shop.Order with --filter, --exclude or --pk, or use --all for every "
            "row.",
        ),
        (
            ["--all", "--pk", "1"],
            "--pk and --all cannot be combined. Use one of them.",
        ),
        (
            ["--filter", "id=1", "--pk", "1", "--all"],
            "--filter or --exclude and --pk and --all cannot be combined. Use one of them.",
        ),
        (
            ["--filter", "statu=paid"],
            "--filter statu=paid: Cannot resolve keyword 'statu' into field. Choices are: carrier, "
            "city, customer, customer_id, gift, id, line, note, number, placed_at, status, street, "
            "total, tries",
        ),
        (
            ["--exclude", "status__like=paid"],
            "--exclude status__like=paid: Unsupported lookup 'like' for CharField or join on the "
            "field not permitted.",
        ),
        (
            ["--filter", "id=x"],
            "--filter id=x: Field 'id' expected a number but got 'x'.",
        ),
        (
            ["--filter", "placed_at__gte=soon"],
            "--filter placed_at__gte=soon: “soon” value has an invalid format. It must be in "
            "YYYY-MM-DD HH:MM[:ss[.uuuuuu]][TZ] format.",
        ),
        (
            ["--filter", "customer__isnull=5"],
            "--filter customer__isnull=5: The QuerySet value for an isnull lookup must be True or "
            "False.",
        ),
        (
            ["--filter", "status"],
            "--filter status: write it as field=value or field__lookup=value.",
        ),
        (
            ["--filter", "=paid"],
            "--filter =paid: write it as field=value or field__lookup=value.",
        ),
        (
            ["--filter", "status__in=paid"],
            "--filter status__in=paid: status__in takes a JSON list, as in status__in='[1, 2]' "
            'or status__in=\'["a", "b"]\'.',
        ),
        (
            ["--filter", "_connector=OR"],
            "--filter _connector=OR: Cannot resolve keyword '_connector' into field. Choices are: "
            "carrier, city, customer, customer_id, gift, id, line, note, number, placed_at, "
            "status, street, total, tries",
        ),
        (
            ["--pk", "x"],
            "--pk x is not a primary key of shop.Order: “x” value must be an integer.",
        ),
    ],
)
def test_options_that_do_not_select_rows_are_refused(options: Any, message: str, sent: Any) -> None:
    orders()

    assert send("shop.Order.trace", *options) == (1, "", message, [])
    assert sent() == []


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--all"], "0123"),
        (["--filter", "status=paid"], "12"),
        (["--filter", "status=paid", "--filter", "carrier=dhl"], "1"),
        (["--filter", "status=paid", "--exclude", "carrier=dhl"], "2"),
        (["--exclude", "carrier=dhl", "--exclude", "carrier=ups"], "0"),
        (["--filter", 'number__in=["0", "3"]'], "03"),
        (["--filter", "number=3"], "3"),
        (["--filter", 'number="3"'], "3"),
        (["--filter", "customer__isnull=false"], "3"),
        (["--filter", "customer=null"], "012"),
        (["--filter", "customer__name=NaN"], "3"),
        (["--filter", "customer__name=a=b"], ""),
        (["--filter", "pk__in=[]"], ""),
        (["--filter", "line__position__gte=1"], "0"),  # two lines, and the row once
        (["--filter", "line__position=1", "--filter", "line__order__number=0"], "0"),
    ],
)
def test_rows_are_chosen_as_the_options_say(options: Any, numbers: str, sent: Any) -> None:
    customer = Customer.objects.create(name="NaN")
    rows = [
        Order.objects.create(number="0", status="new"),
        Order.objects.create(number="1", status="paid", carrier="dhl"),
        Order.objects.create(number="2", status="paid", carrier="ups"),
        Order.objects.create(number="3", status="new", carrier="dhl", customer=customer),
    ]
    Line.objects.create(order=rows[0], position=1)
    Line.objects.create(order=rows[0], position=2)

    done = send("shop.Order.trace", *options, "--verbosity", "0")
    plan = send("shop.Order.trace", *options, "--dry-run", "--verbosity", "0")

    many = len(numbers)
    assert keys_in(sent()) == [[rows[int(number)].pk] for number in numbers]
    assert (done.status, plan.status) == (0, 0)
    assert plan.out.startswith(f"shop.Order.trace would be sent for {many} row")


def test_keys_on_the_command_line_are_sent_even_if_missing(sent: Any) -> None:
    rows = orders(2)
    keys = [str(rows[1].pk), "987654", str(rows[1].pk)]

    done = send("shop.Order.trace", *(f"--pk={key}" for key in keys), "--batch-size", "5")

    assert keys_in(sent()) == [[rows[1].pk, 987654]]
    assert done.out.startswith("shop.Order.trace was sent for 2 rows in 1 message: bulk ID.\n")


def test_keys_are_converted_to_the_model_s_type(sent: Any) -> None:
    document = Document.objects.create()

    assert send("shop.Document.publish", "--pk", str(document.pk)).status == 0

    (message,) = sent()
    assert keys_in([message]) == [[{"uuid": str(document.pk)}]]


def test_rows_are_read_from_a_database(sent: Any) -> None:
    row = Order.objects.using("archive").create()
    for chosen in (["--all"], ["--pk", str(row.pk)]):
        assert send("shop.Order.trace", "--database", "archive", *chosen).status == 0

    for message in sent():
        assert wire_in(message) == ["shop.Order", row.pk, "archive"]


def test_a_database_that_does_not_exist_is_refused_by_the_parser() -> None:
    done = send("shop.Order.trace", "--all", "--database", "nowhere")

    assert done.error == (
        "Error: argument --database: invalid choice: 'nowhere' (choose from "
        + ("'default', 'archive')" if "'default'" in done.error else "default, archive)")
    )


def test_nothing_is_sent_if_no_rows_match(sent: Any) -> None:
    done = send("shop.Order.trace", "--filter", "status=paid", "--wait")

    assert done == (0, "No rows of shop.Order match. Nothing was sent.\n", "", [])
    assert sent() == []


@pytest.mark.parametrize("when", ["count", "keys"])
def test_an_error_of_the_database_is_reported(
    when: str, monkeypatch: pytest.MonkeyPatch, sent: Any
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise OperationalError("no server\nlistens")

    orders()
    if when == "count":
        monkeypatch.setattr(QuerySet, "count", fail)
    else:  # in a dry run, where the keys are read
        monkeypatch.setattr(QuerySet, "values_list", fail)

    assert send("shop.Order.trace", "--all", *(["--dry-run"] if when != "count" else [])).error == (
        "The rows of shop.Order could not be read from the database 'default': OperationalError: "
        "no server listens"
    )
    assert sent() == []


def chosen(model: Any, *keys: str) -> Any:
    nothing: dict[str, Any] = {"filters": [], "excludes": [], "all_rows": False, "database": None}
    return Selection(model, {**nothing, "pks": keys})


def test_a_composite_key_is_a_list() -> None:
    assert chosen(Line, "[5, 1]", "[5, 2]").rows == [
        ModelReference("shop.Line", (5, 1), "default"),
        ModelReference("shop.Line", (5, 2), "default"),
    ]
    for wrong in ("5", "[5]", '["a", 1]'):
        with pytest.raises(CommandError) as caught:
            chosen(Line, wrong)
        assert str(caught.value).startswith(f"--pk {wrong} is not a primary key of shop.Line: ")
