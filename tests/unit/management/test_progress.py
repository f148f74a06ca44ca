"""The progress that the commands show."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from celery.states import SUCCESS

from cereal_methods.management import progress
from cereal_methods.results.ids import message_id
from tests.celery import app

from .commands import ID, Done, Terminal, orders, send

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


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

SENT = "shop.Order.trace was sent for 4 rows in 4 messages: bulk ID.\n"

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


def test_other_streams_get_lines(slowly: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SHORTEST", 0)

    done, shown = slowly(StringIO())

    sending = done.out.partition(SENT)[0]
    assert sending.splitlines()[-1] == "Sending: 4 of 4 rows (100 %)"
    assert done[:3] == (0, sending + SENT + LINES + SUMMARY, "")
    assert shown == ""


def test_quick_work_writes_no_lines(slowly: Any) -> None:
    done, shown = slowly(StringIO())

    assert (done.out, shown) == (SENT + SUMMARY, "")


def test_slow_work_writes_lines_between_the_tenths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LONGEST", 0)
    out = StringIO()

    with progress.Progress("Running", 1000, out, StringIO()) as bar:
        bar.update(0)
        bar.update(1)
        bar.update(1, failed=1)
        bar.update(2, failed=1, missing=0)

    assert out.getvalue() == (
        "Running: 1 of 1,000 rows (0 %)Running: 2 of 1,000 rows (0 %), 1 failed"
    )


def test_a_terminal_without_tqdm_has_lines_and_a_hint(
    slowly: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "tqdm", None)
    monkeypatch.setattr(progress, "_SHORTEST", 0)

    done, shown = slowly(Terminal())

    hint = SENT + "To get a progress bar: pip install 'django-cereal-methods[progress]'.\n"
    assert done.out.startswith("Sending: ")
    assert done.out.endswith(hint + LINES + SUMMARY)
    assert shown == ""
