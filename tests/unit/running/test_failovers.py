"""Databases in a failover, and brokers that are unavailable with them."""

from __future__ import annotations

import logging
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import Reject, Retry
from django.db import DatabaseError, OperationalError

from cereal_methods.rows.connections import error_code
from cereal_methods.running.failures import handle_failed_fetch, retry_when_unavailable
from cereal_methods.running.fetch_retries import RETRIES
from cereal_methods.running.locking import is_lock_error
from cereal_methods.running.policy import DEFAULT
from tests.shop.models import Order

from ..database_errors import NOT_SERVING, OTHERS, READ_ONLY, as_raised


@pytest.mark.parametrize(
    ("attributes", "args"),
    [({"sqlstate": "55P03"}, ["x"]), ({"pgcode": "55P03"}, ["x"]), ({}, [3572, "x"]), ({}, [1205])],
)
def test_nowait_errors_of_each_driver_are_recognized(attributes: Any, args: Any) -> None:
    error: Any = as_raised(OperationalError, *args, **attributes)

    assert is_lock_error(error)
    assert error_code(error) in ("55P03", 3572, 1205)


def request(**headers: Any) -> Any:
    """Return the request of a message that came."""
    made = mock.Mock(id="the-id", headers=headers, retries=0, called_directly=False)
    made.is_eager, made.argsrepr, made.kwargsrepr, made.kwargs = False, None, None, {}
    return made


def fail(error: Exception, acks_late: bool = False, sending: Any = None, **headers: Any) -> Any:
    """Let a fetch fail, and return the task as it was asked to send its message again."""
    task = mock.Mock(acks_late=acks_late, serializer="cereal-json", app=Order.ship.task.app)
    task.name = "shop.ship"
    task.signature_from_request.return_value.apply_async.side_effect = sending
    sent = mock.Mock(return_value=([], {}, "cereal-json"))
    try:
        handle_failed_fetch(task, request(**headers), DEFAULT, error, sent)
    finally:
        fail.task = task  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [*READ_ONLY, *NOT_SERVING], ids=repr)
def test_a_task_is_retried_during_a_failover(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Retry):
        fail(error)

    (record,) = caplog.records
    assert "fetches its rows again in " in record.getMessage()
    assert type(error).__name__ in record.getMessage()


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_a_task_is_not_retried_for_another_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        fail(error)


def test_a_batch_is_retried_too() -> None:
    with (
        mock.patch("cereal_methods.running.failures.handle_failed_fetch") as waits,
        retry_when_unavailable(mock.Mock(), mock.Mock()),
    ):
        raise READ_ONLY[0]
    waits.assert_called_once()
    with pytest.raises(DatabaseError), retry_when_unavailable(mock.Mock(), mock.Mock()):
        raise OTHERS[0]


@pytest.mark.parametrize("tries", [-1_000_000_000, -1, True, "x", 1e300, 1.0, None, [], 10, 10**30])
def test_an_invalid_count_ends_the_retries(tries: Any) -> None:
    error = OperationalError("unavailable")

    with pytest.raises(OperationalError) as caught:
        fail(error, **{RETRIES: tries})

    assert caught.value is error


def test_fetch_retries_are_counted() -> None:
    with pytest.raises(Retry):
        fail(OperationalError("unavailable"), **{RETRIES: 9})

    options = fail.task.signature_from_request.call_args.kwargs  # type: ignore[attr-defined]
    assert options["headers"] == {RETRIES: 10}


@pytest.mark.parametrize("acks_late", [False, True])
def test_a_fetch_retry_that_cannot_be_sent_is_an_error(
    acks_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    both = "database unavailable It could not be sent again: ConnectionError: broker unavailable"

    with pytest.raises(Reject if acks_late else OperationalError) as caught:
        fail(
            OperationalError("database unavailable"),
            acks_late,
            ConnectionError("broker unavailable"),
        )

    assert (caught.value.reason if isinstance(caught.value, Reject) else str(caught.value)) == both
    (record,) = caplog.records
    gives = ", and its message is requeued" if acks_late else ""
    assert record.getMessage() == (
        f"Task shop.ship[the-id] cannot fetch its rows again{gives}: OperationalError: {both}"
    )
