"""What bulk_result writes and exits with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery.backends.base import DisabledBackend
from celery.states import SUCCESS

from cereal_methods import BulkResult
from cereal_methods.exceptions import ResultsNotKept
from cereal_methods.results.ids import message_id
from tests.celery import app
from tests.shop.models import Order

from .commands import complete, orders, run, send

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


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
def test_a_bulk_that_is_not_there_is_reported(kept: Any) -> None:
    if kept is None:
        app.backend.forget("nope")
    else:
        app.backend.store_result("nope", kept, SUCCESS)

    assert run("bulk_result", "nope") == (
        1,
        "",
        "The result backend does not have the bulk nope. The id is wrong, or the result has "
        "expired.",
        [],
    )


def test_an_app_without_a_backend_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_local", SimpleNamespace(backend=DisabledBackend(app=app)))
    monkeypatch.setattr(app, "_backend_cache", None)

    with pytest.raises(ResultsNotKept) as caught:
        BulkResult("nope").ready()

    assert run("bulk_result", "nope") == (1, "", str(caught.value), [])


def test_a_failing_look_up_is_reported(monkeypatch: pytest.MonkeyPatch, sent: Any) -> None:
    bulk_id, _ = sent_bulk()

    def fail(*args: Any) -> None:
        raise ConnectionError("no backend")

    told = "The bulk ID could not be read from the result backend: ConnectionError: no backend"
    with monkeypatch.context() as patch:
        patch.setattr(BulkResult, "counts", fail)
        assert run("bulk_result", bulk_id)[:3] == (1, "", told)
    monkeypatch.setattr(BulkResult, "restore", fail)
    assert run("bulk_result", bulk_id)[:3] == (1, "", told)
