"""What the commands report of a bulk, and how they wait for it."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest

from tests.shop.models import Order

from .commands import ID, complete, orders, send

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.mark.usefixtures("eager")
def test_eager_tasks_have_run_when_they_are_sent() -> None:
    orders(2)

    done = send("shop.Order.trace", "--all", "--batch-size", "9")

    assert done[:3] == (
        0,
        "shop.Order.trace was sent for 2 rows in 2 messages: bulk ID.\n"
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
        "shop.Order.fail_if_bad was sent for 3 rows in 3 messages: bulk ID.\n"
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
    assert ("... and 5 more. --verbosity 2 lists them all.\n" in done.out) is (shown == 20)
    assert (done.status, done.error) == (1, "25 rows failed, of 25: bulk ID.")


@pytest.mark.usefixtures("eager")
def test_an_error_is_one_line_without_control_characters() -> None:
    Order.objects.create(number="\x1b[31mred\n\nand\tmore\r")

    done = send("shop.Order.fail", "--all")

    assert "ValueError: order [31mred and more fails\n" in done.out
    assert "\x1b" not in done.out


def test_it_waits_and_reports_the_outcome_of_the_rows(on_sleep: Any, sent: Any) -> None:
    rows, out = orders(3), StringIO()

    def finish() -> None:
        (bulk_id,) = {match[0] for match in ID.finditer(out.getvalue())}
        complete(bulk_id, n1=("failed", rows[1].pk, ValueError("broken")))

    on_sleep(finish)

    done = send("shop.Order.trace", "--all", "--wait", out=out)

    assert done[:3] == (
        1,
        "shop.Order.trace was sent for 3 rows in 3 messages: bulk ID.\n"
        "Total      3\n"
        "Succeeded  2\n"
        "Failed     1\n"
        "Missing    0\n"
        f"\n{'Key':<{max(3, len(str(rows[1].pk)))}}  Error\n"
        f"{rows[1].pk:<3}  ValueError: broken\n",
        "1 row failed, of 3: bulk ID.",
    )


def test_a_timeout_has_its_own_exit_status(sent: Any) -> None:
    orders(2)

    done = send("shop.Order.trace", "--all", "--wait", "--timeout", "0")

    assert done[:3] == (
        124,
        "shop.Order.trace was sent for 2 rows in 2 messages: bulk ID.\n",
        "Timed out: 0 of 2 rows are completed after 0.0 s. The bulk continues. To see its "
        "progress: manage.py bulk_result ID",
    )


def test_ctrl_c_while_waiting_has_its_own_exit_status(on_sleep: Any, sent: Any) -> None:
    orders(2)

    def interrupt() -> None:
        raise KeyboardInterrupt

    on_sleep(interrupt)

    done = send("shop.Order.trace", "--all", "--wait")

    assert done.status == 130
    assert done.error == (
        "Interrupted. The bulk continues. To see its progress: manage.py bulk_result ID"
    )
    assert done.ids[0] == done.ids[-1]


def test_a_backend_that_fails_while_waiting_is_reported(on_sleep: Any, sent: Any) -> None:
    orders(2)

    def fail() -> None:
        raise ConnectionError("no backend")

    on_sleep(fail)

    done = send("shop.Order.trace", "--all", "--wait")

    assert (done.status, done.error) == (
        1,
        "Waiting for the bulk ID failed: ConnectionError: no backend. The bulk continues. To see "
        "its progress: manage.py bulk_result ID",
    )
