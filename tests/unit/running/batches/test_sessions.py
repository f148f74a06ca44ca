"""Database sessions are restored after each row of a batch."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.db import connection, transaction

from cereal_methods.running.batches.sessions import Sessions, _in_transaction
from tests.shop.models import Order

pytestmark = pytest.mark.django_db(transaction=True)


def leave_autocommit_off() -> None:
    transaction.set_autocommit(False)
    Order.objects.create()


def leave_atomic() -> None:
    transaction.atomic().__enter__()
    Order.objects.create()


def leave_a_broken_transaction() -> None:
    transaction.atomic().__enter__()
    connection.needs_rollback = True


def begin() -> None:
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
    Order.objects.create()


@pytest.mark.parametrize(
    "leave", [leave_autocommit_off, leave_atomic, leave_a_broken_transaction, begin]
)
def test_a_transaction_that_a_row_leaves_open_is_rolled_back(leave: Callable[[], Any]) -> None:
    with Sessions() as sessions:
        sessions.watch((1,))
        leave()
        sessions.restore()

        assert connection.get_autocommit()
        assert not connection.in_atomic_block
        assert not Order.objects.exists()
        Order.objects.create()
    assert Order.objects.count() == 1


@pytest.mark.parametrize(
    ("sql", "changed"),
    [
        ("PRAGMA case_sensitive_like = 1", True),
        ("SET statement_timeout = 5", True),
        (" set search_path to x", True),
        ("SELECT set_config('a', 'b', false)", True),
        ("SELECT pg_advisory_lock(5)", True),
        ("SELECT 1", False),
        ('UPDATE "shop_order" SET "number" = 1', False),
        ("SAVEPOINT a", False),
        ("RELEASE SAVEPOINT a", False),
        ("BEGIN", False),  # which SQLite reports itself
    ],
)
def test_statements_that_change_a_session_are_detected(sql: str, changed: bool) -> None:
    sessions = Sessions()

    sessions._execute(lambda *args: None, sql, None, False, {"connection": connection})

    assert sessions._changed == ({"default"} if changed else set())


@pytest.mark.parametrize(
    ("sql", "params", "concerns"),
    [
        ('UPDATE "shop_order" SET "number" = %s WHERE "shop_order"."id" = %s', ("x", 5), False),
        ('UPDATE "shop_order" SET "number" = %s WHERE "shop_order"."id" = %s', ("x", 6), True),
        ('UPDATE "shop_order" SET "number" = %s', ("x",), True),
        ('UPDATE "shop_other" SET "number" = %s', ("x",), False),
        ('INSERT INTO "shop_order" ("number") VALUES (%s)', ("x",), False),
        ('INSERT INTO "shop_order" VALUES (%s) ON CONFLICT DO UPDATE SET a = 1', ("x",), True),
        ('DELETE FROM "shop_other" WHERE "id" IN (%s)', (5,), True),
        ("CALL something()", None, True),
        ('SELECT "shop_order"."id" FROM "shop_order"', None, False),
    ],
)
def test_statements_that_may_change_other_rows_are_detected(
    sql: str, params: Any, concerns: bool
) -> None:
    sessions = Sessions({"shop_order"})
    sessions.watch((5, "5"))

    sessions._execute(lambda *args: None, sql, params, False, {"connection": connection})

    assert sessions.wrote is concerns


def test_a_transaction_around_the_batch_is_kept() -> None:
    with transaction.atomic(), Sessions() as sessions:
        sessions.watch((1,))
        Order.objects.create()
        sessions.restore()

        assert connection.in_atomic_block
    assert Order.objects.count() == 1


def test_a_session_that_the_row_has_changed_is_closed() -> None:
    with Sessions() as sessions:
        sessions.watch((1,))
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA case_sensitive_like = 1")
        with mock.patch.object(connection, "close") as close:
            sessions.restore()
        close.assert_called_once_with()
        assert sessions._closed == {"default"}

        sessions.watch((2,))
        with mock.patch.object(connection, "close") as close:
            sessions.restore()
        close.assert_not_called()


def test_a_connection_that_the_row_has_closed_is_left_closed() -> None:
    with Sessions() as sessions, mock.patch.object(connection, "connection", None):
        sessions.watch((1,))
        with mock.patch.object(connection, "close") as close:
            sessions.restore()
        close.assert_not_called()


@pytest.mark.parametrize(("status", "is_open"), [(0, False), (2, True)])
def test_an_open_transaction_of_postgresql_is_detected(status: int, is_open: bool) -> None:
    session = SimpleNamespace(info=SimpleNamespace(transaction_status=status))

    assert _in_transaction(session) is is_open
