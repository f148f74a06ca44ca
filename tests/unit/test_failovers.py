"""Databases in a failover, and brokers that are away with them."""

from __future__ import annotations

import logging
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import Reject, Retry
from django.db import DatabaseError, InternalError, NotSupportedError, OperationalError, connections

from cereal_methods.connections import code_of, is_read_only, is_unavailable, reconnecting
from cereal_methods.failures import _TRIES, not_fetched, retrying
from cereal_methods.policies import DEFAULT, _says_locked
from tests.shop.models import Order


def as_raised(kind: type[Exception], *args: Any, **attributes: Any) -> Exception:
    """Return a database's error as Django raises it, with the driver's as its cause."""
    cause = Exception(*args)
    vars(cause).update(attributes)
    error = kind(*args)
    error.__cause__ = cause
    return error


READ_ONLY = [
    as_raised(InternalError, "cannot execute ... in a read-only transaction", sqlstate="25006"),
    as_raised(InternalError, "cannot execute ... in a read-only transaction", pgcode="25006"),
    as_raised(OperationalError, 1290, "running with the --read-only option"),
    as_raised(InternalError, 1836, "Running in read-only mode"),
    as_raised(DatabaseError, 1792, "Cannot execute statement in a READ ONLY transaction."),
]
AWAY = [
    as_raised(OperationalError, "the database system is starting up", sqlstate="57P03"),
    as_raised(DatabaseError, "the database system is starting up", pgcode="57P03"),
    as_raised(DatabaseError, "sorry, too many clients already", sqlstate="53300"),
    as_raised(InternalError, 1040, "Too many connections"),
    OperationalError("connection refused"),
]
OTHERS = [
    as_raised(DatabaseError, "syntax error", sqlstate="42601"),
    as_raised(DatabaseError, "syntax error", pgcode="42601"),
    as_raised(DatabaseError, 1064, "You have an error in your SQL syntax"),
    as_raised(DatabaseError, "25006"),
    NotSupportedError("no"),
    ValueError(25006),
]


@pytest.mark.parametrize("error", [*READ_ONLY, *AWAY], ids=repr)
def test_a_database_in_a_failover_is_unavailable(error: Exception) -> None:
    assert is_unavailable(error)
    assert is_read_only(error) == (error in READ_ONLY)


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_unavailable(error)


@pytest.mark.parametrize(
    ("attributes", "args"),
    [({"sqlstate": "55P03"}, ["x"]), ({"pgcode": "55P03"}, ["x"]), ({}, [3572, "x"]), ({}, [1205])],
)
def test_nowait_is_understood_of_each_driver(attributes: Any, args: Any) -> None:
    error: Any = as_raised(OperationalError, *args, **attributes)

    assert _says_locked(error)
    assert code_of(error) in ("55P03", 3572, 1205)


@pytest.mark.parametrize("error", READ_ONLY, ids=repr)
def test_a_connection_to_a_standby_is_not_kept(error: Exception) -> None:
    def fetch() -> None:
        raise error

    here = connections["default"]
    with (
        mock.patch.object(here, "close") as close,
        mock.patch.object(here, "in_atomic_block", False),
        mock.patch.object(here, "autocommit", True),
        pytest.raises(type(error)),
    ):
        reconnecting("default", fetch)

    close.assert_called()


def request(**headers: Any) -> Any:
    """Return the request of a message that came."""
    found = mock.Mock(id="the-id", headers=headers, retries=0, called_directly=False)
    found.is_eager, found.argsrepr, found.kwargsrepr, found.kwargs = False, None, None, {}
    return found


def fail(error: Exception, acks_late: bool = False, sending: Any = None, **headers: Any) -> Any:
    """Let a fetch fail, and return the task as it was asked to send its message again."""
    task = mock.Mock(acks_late=acks_late, serializer="cereal-json", app=Order.ship.task.app)
    task.name, task.row_model = "shop.ship", None
    task.signature_from_request.return_value.apply_async.side_effect = sending
    sent = mock.Mock(return_value=([], {}, "cereal-json"))
    try:
        not_fetched(task, request(**headers), DEFAULT, error, sent)
    finally:
        fail.task = task  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [*READ_ONLY, *AWAY], ids=repr)
def test_a_task_waits_for_the_end_of_a_failover(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(Retry):
        fail(error)

    (record,) = caplog.records
    assert "fetches its rows again in " in record.getMessage()
    assert type(error).__name__ in record.getMessage()


@pytest.mark.parametrize("error", OTHERS, ids=repr)
def test_a_task_does_not_wait_for_the_end_of_another_error(error: Exception) -> None:
    with pytest.raises(type(error)):
        fail(error)


def test_a_batch_waits_too() -> None:
    with (
        mock.patch("cereal_methods.failures.not_fetched") as waits,
        retrying(mock.Mock(), mock.Mock()),
    ):
        raise READ_ONLY[0]
    waits.assert_called_once()
    with pytest.raises(DatabaseError), retrying(mock.Mock(), mock.Mock()):
        raise OTHERS[0]


@pytest.mark.parametrize("tries", [-1_000_000_000, -1, True, "x", 1e300, 1.0, None, [], 10, 10**30])
def test_a_count_that_is_none_ends_the_repetitions(tries: Any) -> None:
    error = OperationalError("away")

    with pytest.raises(OperationalError) as caught:
        fail(error, **{_TRIES: tries})

    assert caught.value is error


def test_repetitions_are_counted() -> None:
    with pytest.raises(Retry):
        fail(OperationalError("away"), **{_TRIES: 9})

    options = fail.task.signature_from_request.call_args.kwargs  # type: ignore[attr-defined]
    assert options["headers"] == {_TRIES: 10}


@pytest.mark.parametrize("acks_late", [False, True])
def test_nothing_is_said_of_a_repetition_that_was_not_sent(
    acks_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    both = "database away It could not be sent again: ConnectionError: broker away"

    with pytest.raises(Reject if acks_late else OperationalError) as caught:
        fail(OperationalError("database away"), acks_late, ConnectionError("broker away"))

    assert (caught.value.reason if isinstance(caught.value, Reject) else str(caught.value)) == both
    (record,) = caplog.records
    gives = ", and gives its message back" if acks_late else ""
    assert record.getMessage() == (
        f"Task shop.ship[the-id] cannot fetch its rows again{gives}: OperationalError: {both}"
    )
