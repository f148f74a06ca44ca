"""The commands of manage.py: what they write, send and exit with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from celery.backends.base import DisabledBackend
from celery.states import SUCCESS
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from django.db.models import QuerySet
from django.test import override_settings

from cereal_methods import BulkResult, ModelReference, tallies
from cereal_methods.management import progress
from cereal_methods.management.selection import Selection
from cereal_methods.outcomes import message_id, note_id
from tests.celery import app
from tests.shop.models import Country, Customer, Document, Gift, Line, Order

pytestmark = pytest.mark.django_db(databases=["default", "archive"])

#: A bulk's id, in output and messages.
ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class Terminal(StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


class Done(NamedTuple):
    """What a command has written and exited with; ids of bulks are ``ID``."""

    status: int
    out: str
    error: str
    ids: list[str]


def run(*args: str, out: StringIO | None = None, err: StringIO | None = None) -> Done:
    out, err = out or StringIO(), err or StringIO()
    status, error = 0, ""
    try:
        call_command(*args, stdout=out, stderr=err)
    except CommandError as raised:
        status, error = raised.returncode, str(raised)
    found = [match[0] for match in ID.finditer(out.getvalue() + error)]
    return Done(status, ID.sub("ID", out.getvalue()), ID.sub("ID", error), found)


def send(name: str, *args: str, **streams: Any) -> Done:
    return run("run_model_task", name, *args, **streams)


def orders(many: int = 3, **fields: Any) -> list[Order]:
    return Order.objects.bulk_create(Order(number=str(i), **fields) for i in range(many))


def wire_in(message: Any) -> list[Any]:
    """Return the rows that a message is for, as it carries them."""
    this = message.decode()[1].plainly(references=True)["this"]
    found: list[Any] = this.as_wire()
    return found


def keys_in(messages: list[Any]) -> list[list[Any]]:
    """Return the keys of the rows in each message."""
    found = []
    for message in messages:
        wire = wire_in(message)
        key = wire[1]
        found.append(key if len(wire) == 4 else [key])  # of one row its reference
    return found


def complete(result_id: str, **states: Any) -> None:
    """Store what a worker would have: success, or by a message's number an error."""
    result = BulkResult.restore(result_id)
    assert result is not None
    for number in range(result.messages):
        task_id = message_id(result_id, number)
        error = states.get(f"n{number}")
        if error is None:
            app.backend.store_result(task_id, None, SUCCESS)
        else:
            kind, key, exception = error
            text = f"{type(exception).__name__}: {exception}"
            app.backend.store_result(note_id(task_id), [kind, [key], text], SUCCESS)
            app.backend.store_result(task_id, exception, "FAILURE")


@pytest.fixture
def on_sleep(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Do something in the place of waiting for the next look at the results."""

    def install(what: Callable[[], Any]) -> None:
        monkeypatch.setattr(tallies.time, "sleep", lambda seconds: what())

    return install


# Which method


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "shp.Order.ship",
            "No installed app has the label 'shp'. Did you mean 'shop'?",
        ),
        (
            "warehouse.Order.ship",
            "No installed app has the label 'warehouse'. Installed are cereal_methods, shop.",
        ),
        (
            "shop.Ordr.ship",
            "The app 'shop' has no model 'Ordr'. Did you mean 'Order'?",
        ),
        (
            "cereal_methods.Order.ship",
            "The app 'cereal_methods' has no model 'Order'. It has no models.",
        ),
        (
            "shop.Order.shp",
            "shop.Order has no method 'shp'. Did you mean 'ship'?",
        ),
        (
            "shop.Document.burn",
            "shop.Document has no method 'burn'. Its method tasks are publish.",
        ),
        (
            "shop.Document.save",
            "shop.Document.save is no method task: @model_task does not stand on it. Its method "
            "tasks are publish.",
        ),
        (
            "shop.Customer.save",
            "shop.Customer.save is no method task: @model_task does not stand on it. It has no "
            "method tasks.",
        ),
        (
            "shop.Order.number_all",
            "shop.Order.number_all is a method of a class, which has no rows to run on. Send it "
            "with delay(), from code.",
        ),
        (
            "shop.order.number_all",
            "shop.Order.number_all is a method of a class, which has no rows to run on. Send it "
            "with delay(), from code.",
        ),
        (
            "shop.Order.paid.count_all",
            "shop.Order.paid.count_all is a method of a manager, which has no rows to run on. Send "
            "it with delay(), from code.",
        ),
        (
            "publish",
            "'publish' names no method task. Write app_label.Model.method, or the name of the "
            "Celery task. Did you mean 'shop.Document.publish'?",
        ),
        (
            "tests.shop.models.Order.shp",
            "'tests.shop.models.Order.shp' names no method task. Write app_label.Model.method, or "
            "the name of the Celery task. Did you mean 'tests.shop.models.Order.ship'?",
        ),
        (
            "zzz",
            "'zzz' names no method task. Write app_label.Model.method, or the name of the Celery "
            "task. manage.py model_tasks lists them.",
        ),
    ],
)
def test_a_name_that_is_no_methods_is_refused(name: str, message: str, sent: Any) -> None:
    orders()

    done = send(name, "--all")

    assert done == (1, "", message, [])
    assert sent() == []


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("shop.Order.trace", "tests.shop.models.Order.trace"),
        ("shop.order.trace", "tests.shop.models.Order.trace"),
        ("tests.shop.models.Order.trace", "tests.shop.models.Order.trace"),
        ("tests.shop.models.PaidOrder.trace", "tests.shop.models.PaidOrder.trace"),
        ("shop.Order.bill", "shop.bill"),
        ("shop.bill", "shop.bill"),
        ("shop.charge", "shop.bill"),
    ],
)
def test_a_method_goes_by_its_label_and_its_task(name: str, task: str, sent: Any) -> None:
    orders(1)

    assert send(name, "--all").status == 0

    assert [message.headers["task"] for message in sent()] == [task]


def test_a_child_whose_parent_has_the_task_sends_its_own_rows(sent: Any) -> None:
    orders(1)
    gift = Gift.objects.create()

    assert send("shop.Gift.bill", "--all").status == 0

    (message,) = sent()
    assert message.headers["task"] == "shop.bill"
    assert keys_in([message]) == [[gift.pk]]


# Which rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [],
            "Say which rows of shop.Order: with --filter, --exclude or --pk, or with --all for "
            "every row.",
        ),
        (
            ["--all", "--pk", "1"],
            "--pk and --all exclude each other. Use one of them.",
        ),
        (
            ["--filter", "id=1", "--pk", "1", "--all"],
            "--filter or --exclude and --pk and --all exclude each other. Use one of them.",
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
            "--filter status__in=paid: status__in takes a list in JSON, as in status__in='[1, 2]' "
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
            "--pk x: that is no primary key of shop.Order: “x” value must be an integer.",
        ),
    ],
)
def test_options_that_name_no_rows_are_refused(options: Any, message: str, sent: Any) -> None:
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


def test_keys_that_are_given_are_sent_although_they_are_missing(sent: Any) -> None:
    rows = orders(2)
    keys = [str(rows[1].pk), "987654", str(rows[1].pk)]

    done = send("shop.Order.trace", *(f"--pk={key}" for key in keys), "--batch-size", "5")

    assert keys_in(sent()) == [[rows[1].pk, 987654]]
    assert done.out.startswith("shop.Order.trace is sent for 2 rows in 1 message: bulk ID.\n")


def test_keys_are_of_the_models_kind(sent: Any) -> None:
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


def test_no_rows_are_nothing_to_send(sent: Any) -> None:
    done = send("shop.Order.trace", "--filter", "status=paid", "--wait")

    assert done == (0, "No row of shop.Order matches. Nothing was sent.\n", "", [])
    assert sent() == []


@pytest.mark.parametrize("when", ["count", "keys"])
def test_a_database_that_refuses_is_told(
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
        assert str(caught.value).startswith(f"--pk {wrong}: that is no primary key of shop.Line: ")


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [],
            "shop.Order.ship cannot be sent: Order.ship() missing 1 required positional argument: "
            "'carrier'.",
        ),
        (
            ["--args", '["dhl"]', "--kwargs", '{"fast": true}'],
            "shop.Order.ship cannot be sent: Order.ship() got an unexpected keyword argument "
            "'fast'.",
        ),
        (
            ["--args", "dhl"],
            "--args dhl: that is no JSON: Expecting value: line 1 column 1 (char 0).",
        ),
        (["--args", '"dhl"'], '--args "dhl": it must be a list, as in \'["dhl"]\'.'),
        (["--kwargs", "[1]"], "--kwargs [1]: it must be an object, as in '{\"a\": 1}'."),
        (
            ["--args", '["dhl"]', "--batch-size", "0"],
            "tests.shop.models.Order.ship: batch_size is 0. It must be a whole number of rows, at "
            "least 1, or None for one message a row.",
        ),
        (
            ["--args", '["dhl"]', "--timeout", "3"],
            "--timeout is for waiting: use it with --wait.",
        ),
        (
            ["--args", '["dhl"]', "--wait", "--timeout", "-1"],
            "--timeout -1: it must be a number of seconds, 0 or more.",
        ),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(
    options: Any, message: str, sent: Any
) -> None:
    orders()

    assert send("shop.Order.ship", "--all", *options) == (1, "", message, [])
    assert send("shop.Order.ship", "--all", "--dry-run", *options).error == message
    assert sent() == []


@pytest.mark.usefixtures("eager")
def test_the_method_gets_the_arguments() -> None:
    orders(1)

    done = send("shop.Order.ship", "--all", "--args", '["dhl"]', "--kwargs", '{"express": true}')

    assert done.status == 0
    assert Order.objects.get().carrier == "dhl express"


@pytest.mark.usefixtures("eager")
def test_code_may_pass_values_in_place_of_json() -> None:
    orders(1)

    call_command(
        "run_model_task",
        "shop.Order.ship",
        filters=["number=0"],
        method_args=["dhl"],
        method_kwargs={"express": True},
        verbosity=0,
    )

    assert Order.objects.get().carrier == "dhl express"


def test_options_of_messages_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    orders(1)
    passed: list[dict[str, Any]] = []
    monkeypatch.setattr(
        Order.trace.task, "apply_async", lambda *args, **options: passed.append(options)
    )

    send("shop.Order.trace", "--all", "--queue=slow", "--countdown=1.5", "--priority=3")
    send("shop.Order.trace", "--all")

    names = ("queue", "countdown", "priority")
    assert [passed[0][name] for name in names] == ["slow", 1.5, 3]
    assert not passed[1].keys() & set(names)


# Sending


def test_what_was_sent_is_told_and_can_be_looked_up(sent: Any) -> None:
    rows = orders(5)

    done = send("shop.Order.trace", "--all", "--batch-size", "2")

    assert done[:3] == (
        0,
        "shop.Order.trace is sent for 5 rows in 3 messages: bulk ID.\n"
        "To see how far it is: manage.py bulk_result ID\n",
        "",
    )
    pks = [row.pk for row in rows]
    assert keys_in(sent()) == [pks[:2], pks[2:4], pks[4:]]
    restored = BulkResult.restore(done.ids[0])
    assert restored is not None
    assert (restored.total, restored.messages) == (5, 3)


def test_quietly_it_writes_the_id_alone(sent: Any) -> None:
    orders(1)

    done = send("shop.Order.trace", "--all", "--verbosity", "0")

    assert done[:3] == (0, "ID\n", "")


def test_a_dry_run_sends_nothing(sent: Any) -> None:
    rows = orders(12)

    done = send("shop.Order.trace", "--all", "--batch-size", "5", "--dry-run", "--wait")

    assert done == (
        0,
        "shop.Order.trace would be sent for 12 rows in 3 messages. Nothing was sent.\n"
        f"Keys: {', '.join(str(row.pk) for row in rows[:10])} and 2 more\n",
        "",
        [],
    )
    assert sent() == []


def test_a_dry_run_shows_the_keys_that_are_given(sent: Any) -> None:
    done = send("shop.Order.trace", "--pk", "7", "--pk", "5", "--dry-run")

    assert done.out == (
        "shop.Order.trace would be sent for 2 rows in 2 messages. Nothing was sent.\nKeys: 7, 5\n"
    )


def test_a_broker_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    orders(2)

    def fail(*args: Any, **options: Any) -> None:
        raise ConnectionError("no broker\nat all")

    monkeypatch.setattr(Order.trace.task, "apply_async", fail)

    assert send("shop.Order.trace", "--all") == (
        1,
        "",
        "Nothing was sent: ConnectionError: no broker at all",
        [],
    )


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (
            ConnectionError("no broker"),
            1,
            "ConnectionError: no broker. shop.Order.trace was sent for 2 of 3 rows, and no more: "
            "bulk ID. To see how far it is: manage.py bulk_result ID",
        ),
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. shop.Order.trace was sent for 2 of 3 rows, and perhaps for another "
            "message: bulk ID. To see how far it is: manage.py bulk_result ID",
        ),
    ],
    ids=["broker", "ctrl-c"],
)
def test_what_ends_the_sending_leaves_what_was_sent(
    error: BaseException, status: int, told: str, monkeypatch: pytest.MonkeyPatch, sent: Any
) -> None:
    orders(3)
    task, number = Order.trace.task, iter(range(9))
    apply_async = type(task).apply_async

    def fail_third(*args: Any, **options: Any) -> Any:
        if next(number) == 2:
            raise error
        return apply_async(task, *args, **options)

    monkeypatch.setattr(task, "apply_async", fail_third)

    done = send("shop.Order.trace", "--all")

    assert (done.status, done.out, done.error) == (status, "", told)
    restored = BulkResult.restore(done.ids[0])
    assert restored is not None
    assert restored.total == 2
    assert len(sent()) == 2


def test_without_results_it_sends_and_cannot_wait(
    monkeypatch: pytest.MonkeyPatch, sent: Any
) -> None:
    orders(2)
    monkeypatch.setattr(Order.trace.task, "ignore_result", True)

    done = send("shop.Order.trace", "--all")
    waited = send("shop.Order.trace", "--all", "--wait")

    assert done.out == (
        "shop.Order.trace is sent for 2 rows in 2 messages: bulk ID.\n"
        "Its results are not kept: the task ignores them, or the app has no backend.\n"
    )
    assert waited == (
        1,
        "",
        "--wait cannot wait, so nothing was sent. Nothing tells what became of the rows: the task "
        "ignores its results, or the app has no result backend that keeps them, as rpc:// does "
        "not. Set CELERY_RESULT_BACKEND, and no ignore_result.",
        [],
    )
    assert len(sent()) == 2


def test_a_result_that_cannot_be_saved_is_told(monkeypatch: pytest.MonkeyPatch, sent: Any) -> None:
    orders(2)

    def fail(self: Any) -> None:
        raise ConnectionError("no backend")

    monkeypatch.setattr(BulkResult, "save", fail)

    done = send("shop.Order.trace", "--all")

    assert (done.status, done.error) == (
        1,
        "The bulk ID of 2 rows was sent, and could not be saved in the result backend: "
        "ConnectionError: no backend",
    )
    assert len(sent()) == 2


# Eagerly


@pytest.mark.usefixtures("eager")
def test_eager_tasks_have_run_when_they_are_sent() -> None:
    orders(2)

    done = send("shop.Order.trace", "--all", "--batch-size", "9")

    assert done[:3] == (
        0,
        "shop.Order.trace is sent for 2 rows in 2 messages: bulk ID.\n"
        "Total      2\n"
        "Succeeded  2\n"
        "Failed     0\n"
        "Missing    0\n",
        "",
    )


@pytest.mark.usefixtures("eager")
def test_failures_are_listed_and_exit_with_1() -> None:
    first, bad = Order.objects.create(), Order.objects.create(number="bad")
    gone = bad.pk + 1000

    done = send("shop.Order.fail_if_bad", f"--pk={first.pk}", f"--pk={bad.pk}", f"--pk={gone}")

    width = len(str(gone))
    assert done[:3] == (
        1,
        "shop.Order.fail_if_bad is sent for 3 rows in 3 messages: bulk ID.\n"
        "Total      3\n"
        "Succeeded  1\n"
        "Failed     1\n"
        "Missing    1\n"
        f"\n{'Key':<{width}}  Error\n"
        f"{bad.pk:<{width}}  ValueError: order bad fails\n"
        f"{gone:<{width}}  Order.DoesNotExist: shop.Order {gone} in database 'default' does not "
        "exist: deleted after the task was sent, or not committed yet when the task ran.\n",
        "1 row failed and 1 row is missing, of 3: bulk ID.",
    )


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("verbosity", "shown"), [("1", 20), ("2", 25), ("0", 0)])
def test_twenty_failures_are_shown(verbosity: str, shown: int) -> None:
    Order.objects.bulk_create(Order(number="bad") for _ in range(25))

    done = send("shop.Order.fail_if_bad", "--all", "--verbosity", verbosity)

    assert done.out.count("order bad fails") == shown
    assert ("... and 5 more, shown by --verbosity 2.\n" in done.out) is (shown == 20)
    assert (done.status, done.error) == (1, "25 rows failed, of 25: bulk ID.")


@pytest.mark.usefixtures("eager")
def test_an_error_is_written_in_one_line_and_changes_no_terminal() -> None:
    Order.objects.create(number="\x1b[31mred\n\nand\tmore\r")

    done = send("shop.Order.fail", "--all")

    assert "ValueError: order [31mred and more fails\n" in done.out
    assert "\x1b" not in done.out


# Waiting


def test_it_waits_and_tells_what_became_of_the_rows(on_sleep: Any, sent: Any) -> None:
    rows, out = orders(3), StringIO()

    def finish() -> None:
        (bulk_id,) = {match[0] for match in ID.finditer(out.getvalue())}
        complete(bulk_id, n1=("failed", rows[1].pk, ValueError("broken")))

    on_sleep(finish)

    done = send("shop.Order.trace", "--all", "--wait", out=out)

    assert done[:3] == (
        1,
        "shop.Order.trace is sent for 3 rows in 3 messages: bulk ID.\n"
        "Total      3\n"
        "Succeeded  2\n"
        "Failed     1\n"
        "Missing    0\n"
        f"\n{'Key':<{max(3, len(str(rows[1].pk)))}}  Error\n"
        f"{rows[1].pk:<3}  ValueError: broken\n",
        "1 row failed, of 3: bulk ID.",
    )


def test_a_timeout_has_a_status_of_its_own(sent: Any) -> None:
    orders(2)

    done = send("shop.Order.trace", "--all", "--wait", "--timeout", "0")

    assert done[:3] == (
        124,
        "shop.Order.trace is sent for 2 rows in 2 messages: bulk ID.\n",
        "Timed out: 0 of 2 rows are completed after 0.0 s. The workers go on; to see how far: "
        "manage.py bulk_result ID",
    )


def test_ctrl_c_while_waiting_has_a_status_of_its_own(on_sleep: Any, sent: Any) -> None:
    orders(2)

    def interrupt() -> None:
        raise KeyboardInterrupt

    on_sleep(interrupt)

    done = send("shop.Order.trace", "--all", "--wait")

    assert done.status == 130
    assert done.error == (
        "Interrupted. The workers go on; to see how far: manage.py bulk_result ID"
    )
    assert done.ids[0] == done.ids[-1]


def test_a_backend_that_goes_away_while_waiting_is_told(on_sleep: Any, sent: Any) -> None:
    orders(2)

    def fail() -> None:
        raise ConnectionError("no backend")

    on_sleep(fail)

    done = send("shop.Order.trace", "--all", "--wait")

    assert (done.status, done.error) == (
        1,
        "The bulk ID could not be waited for: ConnectionError: no backend The workers go on; to "
        "see how far: manage.py bulk_result ID",
    )


# Progress


@pytest.fixture
def slowly(on_sleep: Any, sent: Any) -> Callable[..., tuple[Done, str]]:
    """Wait for four rows that are completed one by one; return what was written."""

    def wait(err: StringIO) -> tuple[Done, str]:
        orders(4)
        out, number = StringIO(), iter(range(4))

        def finish_one() -> None:
            (bulk_id,) = {match[0] for match in ID.finditer(out.getvalue())}
            app.backend.store_result(message_id(bulk_id, next(number)), None, SUCCESS)

        on_sleep(finish_one)
        return send("shop.Order.trace", "--all", "--wait", out=out, err=err), err.getvalue()

    return wait


SUMMARY = "Total      4\nSucceeded  4\nFailed     0\nMissing    0\n"
SENT = "shop.Order.trace is sent for 4 rows in 4 messages: bulk ID.\n"
LINES = (
    "Running: 1 of 4 rows (25 %)\n"
    "Running: 2 of 4 rows (50 %)\n"
    "Running: 3 of 4 rows (75 %)\n"
    "Running: 4 of 4 rows (100 %)\n"
)


def test_a_terminal_has_a_bar(slowly: Any) -> None:
    done, shown = slowly(Terminal())

    assert done[:3] == (0, SENT + SUMMARY, "")
    assert "\rSending: 100%|" in shown
    assert "\rRunning: 100%|" in shown
    assert "4/4 [" in shown


def test_elsewhere_there_are_lines(slowly: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SHORTEST", 0)

    done, shown = slowly(StringIO())

    sending = done.out.partition(SENT)[0]
    assert sending.splitlines()[-1] == "Sending: 4 of 4 rows (100 %)"
    assert done[:3] == (0, sending + SENT + LINES + SUMMARY, "")
    assert shown == ""


def test_what_is_quick_has_no_lines(slowly: Any) -> None:
    done, shown = slowly(StringIO())

    assert (done.out, shown) == (SENT + SUMMARY, "")


def test_what_takes_long_has_lines_between_the_tenths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LONGEST", 0)
    out = StringIO()

    with progress.Progress("Running", 1000, out, StringIO()) as found:
        found.update(0)
        found.update(1)
        found.update(1, failed=1)
        found.update(2, failed=1, missing=0)

    assert out.getvalue() == (
        "Running: 1 of 1,000 rows (0 %)Running: 2 of 1,000 rows (0 %), 1 failed"
    )


def test_a_terminal_without_tqdm_has_lines_and_a_hint(
    slowly: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "tqdm", None)
    monkeypatch.setattr(progress, "_SHORTEST", 0)

    done, shown = slowly(Terminal())

    hint = SENT + "For a progress bar: pip install 'django-cereal-methods[progress]'.\n"
    assert done.out.startswith("Sending: ")
    assert done.out.endswith(hint + LINES + SUMMARY)
    assert shown == ""


# bulk_result


def sent_bulk(many: int = 3) -> tuple[str, list[Order]]:
    rows = orders(many)
    (bulk_id, *_) = send("shop.Order.trace", "--all").ids
    return bulk_id, rows


def test_a_bulk_is_looked_up(sent: Any) -> None:
    bulk_id, rows = sent_bulk()
    app.backend.store_result(message_id(bulk_id, 0), None, SUCCESS)

    assert run("bulk_result", bulk_id) == (
        0,
        "Total      3\nSucceeded  1\nFailed     0\nMissing    0\nWaiting    2\n",
        "",
        [],
    )

    complete(bulk_id, n2=("missing", rows[2].pk, LookupError("gone")))

    assert run("bulk_result", bulk_id)[:3] == (
        1,
        "Total      3\nSucceeded  2\nFailed     0\nMissing    1\n"
        f"\n{'Key':<{max(3, len(str(rows[2].pk)))}}  Error\n"
        f"{rows[2].pk:<3}  LookupError: gone\n",
        "1 row is missing, of 3: bulk ID.",
    )


def test_a_bulk_that_is_looked_up_is_waited_for(on_sleep: Any, sent: Any) -> None:
    bulk_id, _ = sent_bulk()
    on_sleep(lambda: complete(bulk_id))

    assert run("bulk_result", bulk_id, "--wait", "--timeout", "60")[:3] == (
        0,
        "Total      3\nSucceeded  3\nFailed     0\nMissing    0\n",
        "",
    )


@pytest.mark.parametrize("kept", [None, 5, [1, 2], [1, 2, 3, 4]], ids=str)
def test_a_bulk_that_is_not_there_is_told(kept: Any) -> None:
    if kept is None:
        app.backend.forget("nope")
    else:
        app.backend.store_result("nope", kept, SUCCESS)

    assert run("bulk_result", "nope") == (
        1,
        "",
        "The result backend has no bulk nope: the id is another, or its result has expired.",
        [],
    )


def test_an_app_without_a_backend_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_local", SimpleNamespace(backend=DisabledBackend(app=app)))
    monkeypatch.setattr(app, "_backend_cache", None)

    assert run("bulk_result", "nope").error == (
        "Nothing tells what became of the rows: the task ignores its results, or the app has no "
        "result backend that keeps them, as rpc:// does not. Set CELERY_RESULT_BACKEND, and no "
        "ignore_result."
    )


def test_a_failing_look_up_is_told(monkeypatch: pytest.MonkeyPatch, sent: Any) -> None:
    bulk_id, _ = sent_bulk()

    def fail(*args: Any) -> None:
        raise ConnectionError("no backend")

    told = "The bulk ID could not be looked up in the result backend: ConnectionError: no backend"
    with monkeypatch.context() as patch:
        patch.setattr(BulkResult, "counts", fail)
        assert run("bulk_result", bulk_id)[:3] == (1, "", told)
    monkeypatch.setattr(BulkResult, "restore", fail)
    assert run("bulk_result", bulk_id)[:3] == (1, "", told)


# model_tasks


def test_method_tasks_are_listed_in_a_table() -> None:
    assert run("model_tasks", "shop.Document") == (
        0,
        "Method                 Task                                Runs on  Serializer     Queue "
        "  Policies  Aliases  Description\n"
        "shop.Document.publish  tests.shop.models.Document.publish  row      cereal-pickle  celery"
        "  -         -        Return the document's title.\n",
        "",
        [],
    )


def test_the_table_says_what_differs_from_the_defaults() -> None:
    lines = run("model_tasks", "shop.Order").out.splitlines()
    table = {line.split()[0]: re.split(r" {2,}", line)[5] for line in lines[1:]}

    assert list(table) == sorted(table)
    expected = {
        "shop.Order.ship": "-",
        "shop.Order.add_locked": "select_for_update",
        "shop.Order.add_nowait": "select_for_update(nowait)",
        "shop.Order.add_or_skip": "select_for_update(skip_locked)",
        "shop.Order.ship_later": "on_missing=retry",
        "shop.Order.ship_on_commit": "on_commit",
        "shop.Order.ship_or_not": "on_missing=discard",
        "shop.Order.ship_or_note": "on_missing=note_missing",
        "shop.Order.ship_paid": "on_missing=discard, manager=paid",
        "shop.Order.summary": "select_related=customer, prefetch_related=line_set",
    }
    assert expected.items() <= table.items()
    assert len({line.index(re.split(r" {2,}", line)[-1]) for line in lines}) == 1


def listed(*args: str) -> dict[str, dict[str, Any]]:
    return {
        each["method"]: each for each in json.loads(run("model_tasks", *args, "--format=json").out)
    }


def test_method_tasks_are_listed_in_json() -> None:
    assert listed("shop.Document") == {
        "shop.Document.publish": {
            "method": "shop.Document.publish",
            "task": "tests.shop.models.Document.publish",
            "model": "shop.Document",
            "runs_on": "row",
            "serializer": "cereal-pickle",
            "queue": "celery",
            "on_missing": "raise",
            "on_commit": False,
            "select_for_update": False,
            "select_related": False,
            "prefetch_related": [],
            "manager": None,
            "aliases": [],
            "description": "Return the document's title.",
        }
    }


def test_every_method_task_of_the_app_is_listed_once() -> None:
    found = listed()

    # Other tests have models of their own in the app.
    names = [each["task"] for each in found.values()]
    ours = [name for name in app.tasks if name.startswith("tests.shop.models.")]
    assert sorted(name for name in names if name.startswith("tests.shop.models.")) == sorted(ours)
    assert names.count("shop.bill") == 1
    assert len(names) == len(set(names))
    assert {each["runs_on"] for each in found.values()} == {"row", "class", "manager"}
    assert found["shop.Order.bill"]["aliases"] == ["shop.invoice", "shop.charge"]
    assert found["shop.Gift.paid.count_all"]["runs_on"] == "manager"
    assert "shop.Gift.bill" not in found


def test_apps_and_models_narrow_the_list() -> None:
    assert set(listed("shop.document", "shop.Order")) == {
        *listed("shop.Document"),
        *listed("shop.Order"),
    }
    assert listed("shop") == listed()
    assert run("model_tasks", "cereal_methods").out == "No method is a task there.\n"
    assert run("model_tasks", "shop.Country", "--format", "json").out == "[]\n"
    assert run("model_tasks", "shop.Ordr")[:3] == (
        1,
        "",
        "The app 'shop' has no model 'Ordr'. Did you mean 'Order'?",
    )
    assert run("model_tasks", "shp").error == (
        "No installed app has the label 'shp'. Did you mean 'shop'?"
    )


def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> Any:
    return {"queue": f"for-{kwargs['this']}"}


@pytest.mark.parametrize(
    ("routes", "queue"),
    [
        ({"tests.shop.models.Document.*": {"queue": "documents"}}, "documents"),
        ({"tests.shop.models.Order.*": "orders"}, "celery"),
        (route, None),
    ],
    ids=["matches", "of others", "by arguments"],
)
def test_the_queue_is_that_of_the_apps_routing(routes: Any, queue: str | None) -> None:
    before = app.conf.task_routes
    app.conf.task_routes = routes
    app.amqp.__dict__.pop("router", None)
    app.amqp._rtable = None
    try:
        found = listed("shop.Document")["shop.Document.publish"]["queue"]
        table = run("model_tasks", "shop.Document").out.splitlines()[1]
    finally:
        app.conf.task_routes = before
        app.amqp.__dict__.pop("router", None)
        app.amqp._rtable = None

    assert found == queue
    assert re.split(r" {2,}", table)[4] == (queue or "?")


def test_the_setting_on_commit_is_every_methods() -> None:
    with override_settings(CEREAL_METHODS={"ON_COMMIT": True}):
        assert listed("shop.Document")["shop.Document.publish"]["on_commit"] is True


def test_a_model_without_method_tasks_cannot_be_sent() -> None:
    Country.objects.create(code="de")

    assert send("shop.Country.ship", "--all").error == (
        "shop.Country has no method 'ship'. It has no method tasks."
    )
