"""Connections that have died, told from errors of another kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connections, transaction

from cereal_methods import ModelReference, fetch
from cereal_methods.connections import reconnecting
from cereal_methods.exceptions import ConnectionLost
from tests.shop.models import Order

pytestmark = pytest.mark.django_db

connection: Any = connections["default"]


class Server:
    """Fails as often as it is told, and counts how often it is asked."""

    def __init__(self, failures: int, error: type[Exception] = OperationalError) -> None:
        self.failures = failures
        self.error = error
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.asked <= self.failures:
            raise self.error("the server is away")
        return "a row"


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A connection that turns out to be dead, outside of transactions; notes that it is closed."""
    closed: list[str] = []
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    monkeypatch.setattr(connection, "in_atomic_block", False)
    monkeypatch.setattr(connection, "autocommit", True)
    monkeypatch.setattr(connection, "close", lambda: closed.append("closed"))
    return closed


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_dead_connection_is_closed_and_asked_again(
    dead: list[str], error: type[Exception]
) -> None:
    server = Server(1, error)

    assert reconnecting("default", server) == "a row"

    assert (server.asked, dead) == (2, ["closed"])


def test_a_connection_that_dies_twice_is_given_up(dead: list[str]) -> None:
    server = Server(2)

    with pytest.raises(OperationalError, match="the server is away"):
        reconnecting("default", server)

    assert (server.asked, dead) == (2, ["closed", "closed"])


def test_without_autocommit_nothing_is_connected_again(
    dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "autocommit", False)
    server = Server(1)

    with pytest.raises(ConnectionLost, match="was lost inside a transaction"):
        reconnecting("default", server)

    assert (server.asked, dead) == (1, [])


@pytest.mark.parametrize("error", [ValueError, OperationalError])
def test_an_error_on_a_connection_that_lives_is_raised(error: type[Exception]) -> None:
    server = Server(1, error)

    with pytest.raises(error, match="the server is away"):
        reconnecting("default", server)

    assert server.asked == 1


def test_a_server_that_cannot_be_connected_to_is_asked_once(
    dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "connection", None)
    server = Server(1)

    with pytest.raises(OperationalError):
        reconnecting("default", server)

    assert (server.asked, dead) == (1, [])


def test_the_other_connections_of_a_pool_are_checked(
    dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool:
        def check(self) -> None:
            dead.append("checked")

    monkeypatch.setattr(connection, "pool", Pool(), raising=False)

    reconnecting("default", Server(1))

    assert dead == ["closed", "checked"]


def test_in_a_transaction_a_dead_connection_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(1)
    monkeypatch.setattr(connection, "is_usable", lambda: False)

    with transaction.atomic(), pytest.raises(ConnectionLost) as caught:
        # Whether the transaction is one of the library's own, or not.
        reconnecting("default", lambda: reconnecting("default", server))

    assert str(caught.value) == (
        "The connection to the database 'default' was lost inside a transaction, as rows were "
        "fetched: OperationalError: the server is away. It is not opened again there: what the "
        "transaction did before is lost with it. Leave the transaction (atomic) and run all of it "
        "again."
    )
    assert caught.value.about == "default"
    assert isinstance(caught.value, OperationalError)
    assert server.asked == 1


def test_a_fetch_is_made_again(dead: list[str]) -> None:
    order = Order.objects.create()
    failures = [OperationalError("the server is away")]
    asked: list[str] = []

    def fail_once(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        asked.append(sql)
        if failures:
            raise failures.pop()
        return execute(sql, *args)

    with connection.execute_wrapper(fail_once):
        assert fetch(ModelReference.of(order)) == order

    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert dead == ["closed"]
