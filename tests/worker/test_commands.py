"""The commands of manage.py as processes, with a real worker: output and exit status."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from cereal_methods import BulkResult
from tests.celery import app
from tests.shop.models import Order

from .workers import Worker

SECONDS = 60

#: A bulk's id, in output and messages.
ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


class Done(NamedTuple):
    """What a command has written and exited with; ids of bulks are ``ID``."""

    status: int
    out: str
    err: str
    ids: list[str]


def start(worker: Worker, *args: str, **streams: Any) -> subprocess.Popen[str]:
    """Start a command as a project's manage.py does."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    command = [sys.executable, "-m", "django", *args]
    return subprocess.Popen(command, env=worker.environment, text=True, **streams)


def end(process: subprocess.Popen[str]) -> Done:
    """Return what a command has written, when it has ended."""
    out, err = process.communicate(timeout=SECONDS)
    ids = [match[0] for match in ID.finditer(out + (err or ""))]
    return Done(process.returncode, ID.sub("ID", out), ID.sub("ID", err or ""), ids)


def run(worker: Worker, *args: str) -> Done:
    return end(start(worker, *args))


def orders(many: int, **fields: Any) -> list[Order]:
    return Order.objects.bulk_create(Order(number=str(i), **fields) for i in range(many))


@pytest.fixture
def nobody() -> Iterator[str]:
    """A queue that no worker consumes."""
    name = f"test-nobody-{os.getpid()}"
    yield name
    with app.connection_for_write() as connection:
        connection.default_channel.client.delete(name)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C reach commands, which would ignore it if this process does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("batch", "messages"), [([], 10), (["--batch-size", "4"], 3)])
def test_all_rows_succeed(crowd: Worker, batch: list[str], messages: int) -> None:
    orders(10, status="paid")
    orders(2)

    done = run(
        crowd,
        "run_model_task",
        "shop.Order.ship",
        "--filter=status=paid",
        '--args=["dhl"]',
        "--wait",
        f"--timeout={SECONDS}",
        *batch,
    )

    assert done[:3] == (
        0,
        f"shop.Order.ship was sent for 10 rows in {messages} messages: bulk ID.\n"
        "Total      10\n"
        "Succeeded  10\n"
        "Failed      0\n"
        "Missing     0\n",
        "",
    )
    assert sorted(Order.objects.values_list("status", "carrier").distinct()) == [
        ("new", ""),
        ("shipped", "dhl"),
    ]


@pytest.mark.parametrize(("batch", "messages"), [([], 4), (["--batch-size", "4"], 1)])
def test_rows_fail_and_are_missing(crowd: Worker, batch: list[str], messages: int) -> None:
    rows = orders(4)
    Order.objects.filter(pk=rows[1].pk).update(number="bad")
    gone = rows[2].pk
    Order.objects.filter(pk=gone).delete()
    keys = [f"--pk={row.pk or gone}" for row in rows]

    sent = run(crowd, "run_model_task", "shop.Order.fail_if_bad", *keys, *batch)

    assert sent[:3] == (
        0,
        f"shop.Order.fail_if_bad was sent for 4 rows in {messages} "
        f"message{'s' if messages > 1 else ''}: bulk ID.\n"
        "To see its progress: manage.py bulk_result ID\n",
        "",
    )

    done = run(crowd, "bulk_result", sent.ids[0], "--wait", f"--timeout={SECONDS}")

    summary, _, failures = done.out.partition("\n\n")
    width = max(3, len(str(gone)))
    assert summary == "Total      4\nSucceeded  2\nFailed     1\nMissing    1"
    assert failures.splitlines()[0] == f"{'Key':<{width}}  Error"
    assert sorted(failures.splitlines()[1:]) == sorted(
        [
            f"{rows[1].pk:<{width}}  ValueError: order bad fails",
            f"{gone:<{width}}  Order.DoesNotExist: shop.Order {gone} in database 'default' does "
            "not exist: deleted after the task was sent, or not committed yet when the task ran.",
        ]
    )
    told = "CommandError: 1 row failed and 1 row is missing, of 4: bulk ID.\n"
    assert (done.status, done.err) == (1, told)

    again = run(crowd, "bulk_result", sent.ids[0])

    assert again.status == 1
    assert again.out == done.out


def test_wrong_use_exits_with_1_and_sends_nothing(crowd: Worker) -> None:
    orders(1)

    assert run(crowd, "run_model_task", "shop.Order.ship", "--all") == (
        1,
        "",
        "CommandError: shop.Order.ship cannot be sent: Order.ship() missing 1 required positional "
        "argument: 'carrier'.\n",
        [],
    )
    assert run(crowd, "run_model_task", "shop.Order.ship", "--priority=high").status == 2
    assert [event for event in crowd.events() if event["what"] == "begin"] == []


def test_a_timeout_is_told_by_the_exit_status(crowd: Worker, nobody: str) -> None:
    orders(2)

    done = run(
        crowd,
        "run_model_task",
        "shop.Order.trace",
        "--all",
        f"--queue={nobody}",
        "--wait",
        "--timeout=0.1",
    )

    assert done[:3] == (
        124,
        "shop.Order.trace was sent for 2 rows in 2 messages: bulk ID.\n",
        "CommandError: Timed out: 0 of 2 rows are completed after 0.1 s. The bulk continues. To "
        "see its progress: manage.py bulk_result ID\n",
    )


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_waiting_and_not_the_bulk(crowd: Worker, nobody: str) -> None:
    orders(2)
    options = ["--all", f"--queue={nobody}", "--wait"]
    process = start(crowd, "run_model_task", "shop.Order.trace", *options)
    assert process.stdout is not None
    first = process.stdout.readline()  # it is flushed before it waits

    process.send_signal(signal.SIGINT)
    done = end(process)

    assert ID.sub("ID", first) == "shop.Order.trace was sent for 2 rows in 2 messages: bulk ID.\n"
    assert done[:3] == (
        130,
        "",
        "CommandError: Interrupted. The bulk continues. To see its progress: manage.py "
        "bulk_result ID\n",
    )
    assert run(crowd, "bulk_result", done.ids[0])[:3] == (
        0,
        "Total      2\nSucceeded  0\nFailed     0\nMissing    0\nWaiting    2\n",
        "",
    )


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_sending_and_tells_how_far_it_was(crowd: Worker, nobody: str) -> None:
    orders(20_000)
    with app.connection_for_read() as connection:
        client = connection.default_channel.client
        options = ["--all", f"--queue={nobody}"]
        process = start(crowd, "run_model_task", "shop.Order.trace", *options)
        crowd.wait_for(lambda: client.llen(nobody) > 10, "messages")

        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            # Python drops one that arrives in a weak reference's callback, and says so.
            process.wait(2)
        ignored = ""
        if process.poll() is None:
            ignored = r"(?:Exception ignored in: .*\nKeyboardInterrupt: ?\n)?"
            process.send_signal(signal.SIGINT)
        done = end(process)

        assert done.status == 130
        assert re.fullmatch(
            ignored
            + r"CommandError: Interrupted\. shop\.Order\.trace was sent for [\d,]+ of 20,000 rows "
            r"and perhaps for one more message: bulk ID\. To see its progress: manage\.py "
            r"bulk_result ID\n",
            done.err,
            re.DOTALL,
        )
        result = BulkResult.restore(done.ids[0])
        assert result is not None
        assert 10 <= result.total < 20_000
        assert client.llen(nobody) - result.total in (0, 1)


def test_a_terminal_has_a_bar_and_the_rest_of_the_output_none(crowd: Worker) -> None:
    orders(5)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    process = start(crowd, "run_model_task", "shop.Order.trace", "--all", "--wait", stderr=theirs)
    os.close(theirs)
    done = end(process)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)

    assert done[:2] == (
        0,
        "shop.Order.trace was sent for 5 rows in 5 messages: bulk ID.\n"
        "Total      5\n"
        "Succeeded  5\n"
        "Failed     0\n"
        "Missing    0\n",
    )
    assert "Sending: 100%|" in shown
    assert "Running: 100%|" in shown


def test_method_tasks_are_listed(crowd: Worker) -> None:
    done = run(crowd, "model_tasks", "shop.Document")

    assert (done.status, done.err) == (0, "")
    assert re.split(r" {2,}", done.out.splitlines()[1]) == [
        "shop.Document.publish",
        "tests.shop.models.Document.publish",
        "row",
        "cereal-pickle",
        crowd.queue,
        "-",
        "-",
        "Return the document's title.",
    ]
