"""What run_model_task sends, writes and exits with."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from cereal_methods import BulkResult
from tests.shop.models import Order

from .commands import keys_in, orders, send

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


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
            "--args dhl: this is not valid JSON: Expecting value: line 1 column 1 (char 0).",
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
            "--timeout has no effect without --wait. Use both.",
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
def test_code_can_pass_values_instead_of_json() -> None:
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


def test_message_options_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_bulk_is_reported_and_can_be_found(sent: Any) -> None:
    rows = orders(5)

    done = send("shop.Order.trace", "--all", "--batch-size", "2")

    assert done[:3] == (
        0,
        "shop.Order.trace was sent for 5 rows in 3 messages: bulk ID.\n"
        "To see its progress: manage.py bulk_result ID\n",
        "",
    )
    pks = [row.pk for row in rows]
    assert keys_in(sent()) == [pks[:2], pks[2:4], pks[4:]]
    restored = BulkResult.restore(done.ids[0])
    assert restored is not None
    assert (restored.total, restored.messages) == (5, 3)


def test_verbosity_0_writes_only_the_id(sent: Any) -> None:
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


def test_a_dry_run_shows_the_keys_of_the_command_line(sent: Any) -> None:
    done = send("shop.Order.trace", "--pk", "7", "--pk", "5", "--dry-run")

    assert done.out == (
        "shop.Order.trace would be sent for 2 rows in 2 messages. Nothing was sent.\nKeys: 7, 5\n"
    )


def test_an_unreachable_broker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
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
            "ConnectionError: no broker. shop.Order.trace was sent for 2 of 3 rows: "
            "bulk ID. To see its progress: manage.py bulk_result ID",
        ),
        (
            KeyboardInterrupt(),
            130,
            "Interrupted. shop.Order.trace was sent for 2 of 3 rows and perhaps for one more "
            "message: bulk ID. To see its progress: manage.py bulk_result ID",
        ),
    ],
    ids=["broker", "ctrl-c"],
)
def test_rows_that_were_sent_are_kept_if_sending_stops(
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


def test_without_results_it_sends_but_cannot_wait(
    monkeypatch: pytest.MonkeyPatch, sent: Any
) -> None:
    orders(2)
    monkeypatch.setattr(Order.trace.task, "ignore_result", True)

    done = send("shop.Order.trace", "--all")
    waited = send("shop.Order.trace", "--all", "--wait")

    assert done.out == (
        "shop.Order.trace was sent for 2 rows in 2 messages: bulk ID.\n"
        "Results are not kept, because the task ignores them or the app has no result backend.\n"
    )
    assert (waited.status, waited.out) == (1, "")
    assert waited.error.startswith("--wait is not possible, so nothing was sent. ")
    assert len(sent()) == 2


def test_a_result_that_cannot_be_saved_is_reported(
    monkeypatch: pytest.MonkeyPatch, sent: Any
) -> None:
    orders(2)

    def fail(self: Any) -> None:
        raise ConnectionError("no backend")

    monkeypatch.setattr(BulkResult, "save", fail)

    done = send("shop.Order.trace", "--all")

    assert (done.status, done.error) == (
        1,
        "The bulk ID of 2 rows was sent, but the result backend could not save it: "
        "ConnectionError: no backend",
    )
    assert len(sent()) == 2
