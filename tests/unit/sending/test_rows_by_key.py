"""A row that a schedule names by its primary key."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from cereal_methods import CerealError, ModelReference
from cereal_methods.exceptions import InvalidModelTask, UnsupportedKey
from cereal_methods.rows.wire import reference_from_key
from cereal_methods.running.text import call_text
from tests.celery import app
from tests.shop.models import Day, Document, Gift, Line, Order

from .messages import trace

pytestmark = pytest.mark.django_db

Sent = Callable[[], list[Any]]

ORDER = "tests.shop.models.Order"
ID = uuid.UUID("8f7a3a2e-9a0c-4b0e-8a63-0e0c1d5d9c11")


def test_a_row_may_be_named_by_its_key(due: Callable[..., Any]) -> None:
    Order.objects.create(pk=5)

    assert due(f"{ORDER}.ship", "dhl", this=5, express=True) == "shipped"
    assert due(f"{ORDER}.ship", "dhl", this="5") == "shipped"
    assert Order.objects.get().carrier == "dhl"


def test_fetching_a_row_by_its_key_costs_one_query(
    due: Callable[..., Any], django_assert_num_queries: Any
) -> None:
    Order.objects.create(pk=5)

    with django_assert_num_queries(1):
        assert due(f"{ORDER}.trace", this=5) == ["2026-0001"]


def test_a_row_by_its_key_is_shown_like_any_other(sent: Sent) -> None:
    app.tasks[f"{ORDER}.ship"].apply_async(["dhl"], {"this": "5"})
    app.tasks[f"{ORDER}.ship"].apply_async(["dhl"], {"this": "five"})

    shown = [(message.headers["argsrepr"], message.headers["kwargsrepr"]) for message in sent()]
    assert shown == [("(<shop.Order 5>, 'dhl')", "{}"), ("('dhl',)", "{}")]


@pytest.mark.parametrize("serializer", ["cereal-pickle", "json"])
def test_log_records_of_a_row_by_its_key_name_the_row(
    serializer: str, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    Order.objects.create(pk=5)
    seen: list[str] = []
    count = app.tasks[f"{ORDER}.count"]
    monkeypatch.setattr("tests.shop.models.mark", lambda *args: seen.append(call_text(count)))
    count.apply_async((), {"this": 5}, serializer=serializer)
    (message,) = sent()

    trace(message)

    assert seen == [f"{ORDER}.count <shop.Order 5>"]


@pytest.mark.parametrize(
    ("method", "result"),
    [("summary", [None, [], False]), ("meet_locked", ["2026-0001"]), ("task_of", None)],
)
def test_methods_with_row_options_take_a_key_too(
    due: Callable[..., Any], method: str, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Order.objects.create(pk=5)

    if result is None:
        assert due(f"{ORDER}.{method}") == f"Order {ORDER}.{method}"
    else:
        assert due(f"{ORDER}.{method}", this=5) == result


def test_on_missing_handles_a_key_of_a_missing_row(
    due: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Order.DoesNotExist):
        due(f"{ORDER}.ship", "dhl", this=5)
    due(f"{ORDER}.ship_or_not", this=5)

    assert "is discarded: shop.Order 5 in database 'default' does not exist" in caplog.text


def test_every_type_of_key_is_accepted(due: Callable[..., Any]) -> None:
    Document.objects.create(id=ID, title="a")

    assert due("tests.shop.models.Document.publish", this=str(ID)) == "a"
    assert due("tests.shop.models.Document.publish", this={"uuid": str(ID)}) == "a"


@pytest.mark.parametrize(
    ("model", "key", "pk"),
    [
        (Order, 5, 5),
        (Order, "5", 5),
        (Gift, 5, 5),
        (Document, str(ID), ID),
        (Line, [5, "1"], (5, 1)),
        (Line, (5, 1), (5, 1)),
    ],
)
def test_a_key_is_converted_to_the_type_of_its_field(model: Any, key: Any, pk: Any) -> None:
    assert reference_from_key(model, key) == ModelReference(model._meta.label, pk, "default")


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (Order, "five"),
        (Order, None),
        (Order, True),
        (Order, 1.5),
        (Order, {}),
        (Order, {"a": "b"}),
        (Order, [1, 2]),
        (Document, 5.5),
        (Document, "x"),
        (Day, "yesterday"),
        (Line, 5),
        (Line, [5]),
        (Line, ["a", 1]),
    ],
    ids=str,
)
def test_an_invalid_key_is_refused(model: Any, key: Any) -> None:
    with pytest.raises((UnsupportedKey, CerealError)):
        reference_from_key(model, key)


def test_a_task_fails_for_an_invalid_key(due: Callable[..., Any]) -> None:
    with pytest.raises(InvalidModelTask) as caught:
        due(f"{ORDER}.ship", "dhl", this="five")

    assert str(caught.value) == (
        f"The task {ORDER}.ship was sent with this=a str of length 4, which is neither a primary "
        "key of shop.Order nor a reference to a row of it."
    )
