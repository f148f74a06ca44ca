"""Failures in eager mode and in ``apply`` are those of a worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore
from celery.result import EagerResult
from kombu.exceptions import EncodeError

from cereal_methods import CEREAL_JSON, task
from cereal_methods.exceptions import UnsavedInstance
from tests.celery import app
from tests.shop import tasks
from tests.shop.models import Order

from ..bodies import stored
from .test_eager import WAYS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("eager")]

#: How the error of an unsaved instance begins.
UNSAVED = "This shop.Order has no row in the database: "


def gone(pk: Any) -> str:
    """Return how the error of a missing row begins."""
    return f"shop.Order {pk} in database 'default' does not exist: "


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., EagerResult[Any]]:
    """Each way to run a method or a function here and now."""
    return WAYS[request.param]


@pytest.fixture
def order() -> Order:
    """An order."""
    return Order.objects.create(number="one")


@pytest.fixture
def ghost() -> Order:
    """An order whose row is gone."""
    row = Order.objects.create()
    ghost = stored(Order, pk=row.pk)
    row.delete()
    return ghost


@pytest.fixture
def propagating() -> Iterator[None]:
    """Let errors of tasks be errors of what sends them."""
    app.conf.task_eager_propagates = True
    yield
    app.conf.task_eager_propagates = False


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """What methods have marked."""
    monkeypatch.setenv("TEST_PROBE", str(tmp_path / "probe"))
    return lambda: list(map(json.loads, (tmp_path / "probe").read_text().splitlines()))


def test_an_unsaved_argument_is_refused_when_it_is_sent(way: Any, order: Order) -> None:
    with pytest.raises((UnsavedInstance, EncodeError)) as caught:
        way(order, Order()).get()

    assert str(caught.value).startswith(UNSAVED)


def test_an_unsaved_self_is_refused_when_it_is_sent(way: Any) -> None:
    with pytest.raises((UnsavedInstance, EncodeError)) as caught:
        way(Order()).get()

    assert str(caught.value).startswith(UNSAVED)


def test_a_missing_row_is_a_failure(way: Any, ghost: Order) -> None:
    result = way(ghost)

    assert result.state == "FAILURE"
    with pytest.raises(Order.DoesNotExist) as caught:
        result.get()
    assert str(caught.value).startswith(gone(ghost.pk))


def test_a_missing_argument_is_a_failure(way: Any, order: Order, ghost: Order) -> None:
    result = way(order, [ghost])

    assert result.state == "FAILURE"
    assert str(result.result).startswith(gone(ghost.pk))


def test_an_error_is_raised_at_once_if_errors_propagate(ghost: Order, propagating: None) -> None:
    with pytest.raises(Order.DoesNotExist) as caught:
        ghost.trace.delay()

    assert str(caught.value).startswith(gone(ghost.pk))


@pytest.mark.parametrize("send", ["delay", "apply"])
def test_a_task_of_a_missing_row_can_be_discarded(
    ghost: Order, send: str, caplog: pytest.LogCaptureFixture
) -> None:
    result = getattr(ghost.ship_or_not, send)()

    assert result.state == "IGNORED"
    assert result.get() is None
    (record,) = (record for record in caplog.records if record.name == "cereal_methods")
    assert record.getMessage().startswith(
        f"Task tests.shop.models.Order.ship_or_not[{result.id}] is discarded: {gone(ghost.pk)}"
    )


def test_a_discarded_task_raises_nothing_if_errors_propagate(
    ghost: Order, propagating: None
) -> None:
    assert ghost.ship_or_not.delay().get() is None


def test_an_on_missing_function_is_called_with_the_error(
    ghost: Order, probe: Callable[[], list[Any]]
) -> None:
    result = ghost.ship_or_note.delay()

    (line,) = probe()
    assert line["what"] == "missing"
    assert line["error"].startswith(gone(ghost.pk))
    assert (result.state, result.get()) == ("SUCCESS", "noted")


def test_an_on_missing_function_is_called_for_a_key_in_a_direct_call(ghost: Order) -> None:
    assert Order.ship_or_note.task(this=ghost.pk) == "noted"


def test_eager_tasks_are_not_retried_for_missing_rows(ghost: Order) -> None:
    result = ghost.ship_later.delay()

    assert result.state == "FAILURE"
    assert str(result.result).startswith(gone(ghost.pk))


def test_a_value_that_the_serializer_cannot_carry_is_refused(order: Order) -> None:
    with pytest.raises(EncodeError) as caught:
        tasks.total.apply_async((object(),), serializer=CEREAL_JSON)

    assert str(caught.value) == (
        "cereal-json cannot carry this value: Object of type object is not JSON serializable. "
        "Convert it, or send the task with serializer='cereal-pickle'."
    )


def test_an_errback_runs_on_a_row(order: Order, probe: Callable[[], list[Any]]) -> None:
    result = order.fail.apply_async(link_error=order.on_error.s())

    line = probe()[-1]
    assert result.state == "FAILURE"
    assert (line["what"], line["number"]) == ("errback", "one")
    assert (line["error"], line["id"]) == ("order one fails", result.id)


def ignore(error: Exception) -> Any:
    raise Ignore(str(error))


def test_an_on_missing_function_discards_a_task_with_ignore(ghost: Order) -> None:
    decorated = task(on_missing=ignore, name="tests.ignoring")(number_of_order)

    assert decorated.apply((ghost,)).state == "IGNORED"


def fail(error: Exception) -> Any:
    raise LookupError("no such order") from error


def test_an_on_missing_function_fails_a_task_by_raising(ghost: Order) -> None:
    decorated = task(on_missing=fail, name="tests.failing")(number_of_order)

    result = decorated.apply((ghost,))

    assert (result.state, str(result.result)) == ("FAILURE", "no such order")


def number_of_order(order: Order) -> str:
    return order.number
