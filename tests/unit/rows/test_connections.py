"""Connections that have died, as opposed to other errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connections, transaction

from cereal_methods import ModelReference, fetch
from cereal_methods.exceptions import ConnectionLost
from cereal_methods.rows.connections import with_reconnect
from tests.shop.models import Order

pytestmark = pytest.mark.django_db

connection: Any = connections["default"]


class Server:
    """Fails a number of times, and counts the queries."""

    def __init__(self, failures: int, error: type[Exception] = OperationalError) -> None:
        self.failures = failures
        self.error = error
        self.queries = 0

    def __call__(self) -> str:
        self.queries += 1
        if self.queries <= self.failures:
            raise self.error("the server is unavailable")
        return "a row"


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to a dead connection outside of transactions."""
    closed: list[str] = []
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    monkeypatch.setattr(connection, "in_atomic_block", False)
    monkeypatch.setattr(connection, "autocommit", True)
    monkeypatch.setattr(connection, "close", lambda: closed.append("closed"))
    return closed


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_dead_connection_is_closed_and_the_query_repeated(
    dead: list[str], error: type[Exception]
) -> None:
    server = Server(1, error)

    assert with_reconnect("default", server) == "a row"

    assert (server.queries, dead) == (2, ["closed"])


def test_a_connection_that_dies_twice_raises_its_error(dead: list[str]) -> None:
    server = Server(2)

    with pytest.raises(OperationalError, match="the server is unavailable"):
        with_reconnect("default", server)

    assert (server.queries, dead) == (2, ["closed", "closed"])


def test_without_autocommit_a_dead_connection_is_an_error(
    dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "autocommit", False)
    server = Server(1)

    with pytest.raises(ConnectionLost, match="was lost inside a transaction"):
        with_reconnect("default", server)

    assert (server.queries, dead) == (1, [])


@pytest.mark.parametrize("error", [ValueError, OperationalError])
def test_an_error_of_a_live_connection_is_raised(error: type[Exception]) -> None:
    server = Server(1, error)

    with pytest.raises(error, match="the server is unavailable"):
        with_reconnect("default", server)

    assert server.queries == 1


def test_a_server_that_refuses_connections_is_queried_once(
    dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "connection", None)
    server = Server(1)

    with pytest.raises(OperationalError):
        with_reconnect("default", server)

    assert (server.queries, dead) == (1, [])


def test_the_other_connections_of_a_pool_are_checked(
    dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool:
        def check(self) -> None:
            dead.append("checked")

    monkeypatch.setattr(connection, "pool", Pool(), raising=False)

    with_reconnect("default", Server(1))

    assert dead == ["closed", "checked"]


def test_in_a_transaction_a_dead_connection_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(1)
    monkeypatch.setattr(connection, "is_usable", lambda: False)

    with transaction.atomic(), pytest.raises(ConnectionLost) as caught:
        with_reconnect("default", lambda: with_reconnect("default", server))

    assert str(caught.value) == (
        "The connection to the database 'default' was lost inside a transaction, while rows "
        "were fetched: OperationalError: the server is unavailable. The transaction is lost with "
        "it. Leave the atomic block, and run it again from its beginning."
    )
    assert caught.value.about == "default"
    assert isinstance(caught.value, OperationalError)
    assert server.queries == 1


def test_a_fetch_is_repeated(dead: list[str]) -> None:
    order = Order.objects.create()
    failures = [OperationalError("the server is unavailable")]
    queries: list[str] = []

    def fail_once(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        queries.append(sql)
        if failures:
            raise failures.pop()
        return execute(sql, *args)

    with connection.execute_wrapper(fail_once):
        assert fetch(ModelReference.of(order)) == order

    assert len(queries) == 2
    assert queries[0] == queries[1]
    assert dead == ["closed"]
