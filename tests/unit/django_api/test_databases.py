"""What ``django_api.databases`` relies on, asked of the Django that is installed."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.core.signals import request_finished, setting_changed
from django.db import close_old_connections, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler
from django.test import TestCase, override_settings
from django.test import signals as test_signals

from cereal_methods.django_api import databases as api
from tests.shop.models import Order
from tests.unit.contracts import untested


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__]) == []


def test_setting_changed_is_the_documented_signal() -> None:
    changed: list[str] = []

    def note(setting: str, **_: Any) -> None:
        changed.append(setting)

    api.setting_changed.connect(note)
    with override_settings(OWN=1):
        pass
    api.setting_changed.disconnect(note)

    assert api.setting_changed is test_signals.setting_changed is setting_changed
    assert changed == ["OWN", "OWN"]


def test_open_connections_opens_no_connection() -> None:
    handler = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3"}})
    with mock.patch.object(api, "connections", handler):
        assert api.open_connections() == []
        made = handler["default"]
        assert api.open_connections() == [made]


@pytest.mark.django_db(transaction=True)
def test_session_of_is_the_driver_s_and_opens_no_connection(tmp_path: Path) -> None:
    handler = ConnectionHandler(
        {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "db.sqlite"}}
    )
    opened = handler["default"]
    assert api.session_of(opened) is None

    opened.ensure_connection()
    assert api.session_of(opened) is not None
    opened.close()


@pytest.mark.django_db(transaction=True)
def test_is_alive_asks_the_server() -> None:
    connection.ensure_connection()
    assert api.is_alive(connection)
    with mock.patch.object(connections["default"], "is_usable", return_value=False):
        assert not api.is_alive(connections["default"])


@pytest.mark.parametrize("closed", [False, True])
def test_is_alive_sends_nothing_in_a_transaction_of_postgresql(closed: bool) -> None:
    session = SimpleNamespace(closed=closed)
    failed = SimpleNamespace(vendor="postgresql", in_atomic_block=True, connection=session)

    assert api.is_alive(failed) is not closed


@pytest.mark.django_db(transaction=True)
def test_is_in_transaction_in_atomic_and_out_of_autocommit() -> None:
    assert not api.is_in_transaction(connection)
    with transaction.atomic():
        assert api.is_in_transaction(connection)
    transaction.set_autocommit(False)
    try:
        assert api.is_in_transaction(connection)
    finally:
        transaction.set_autocommit(True)


@pytest.mark.django_db(transaction=True)
def test_in_atomic_is_about_atomic_alone() -> None:
    assert not api.in_atomic(connection)
    with transaction.atomic(), transaction.atomic():
        assert api.in_atomic(connection)
    transaction.set_autocommit(False)
    try:
        assert not api.in_atomic(connection)
    finally:
        transaction.set_autocommit(True)


@pytest.mark.django_db(transaction=True)
def test_changed_autocommit_is_true_of_a_changed_mode() -> None:
    connection.ensure_connection()
    assert not api.changed_autocommit(connection)
    transaction.set_autocommit(False)
    try:
        assert api.changed_autocommit(connection)
    finally:
        transaction.set_autocommit(True)


def test_check_pool_of_connections_that_have_one() -> None:
    pool = mock.Mock()
    api.check_pool(SimpleNamespace(pool=pool))
    api.check_pool(SimpleNamespace(pool=None))
    api.check_pool(connections["default"])  # SQLite has none

    pool.check.assert_called_once_with()


def test_check_pool_finds_it_where_django_puts_it() -> None:
    pytest.importorskip("psycopg")
    base = import_module("django.db.backends.postgresql.base")

    assert isinstance(base.DatabaseWrapper.pool, property)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", [False, True])
def test_discard_session_rolls_back_and_forgets_callbacks(fails: bool) -> None:
    called: list[str] = []
    transaction.atomic().__enter__()
    transaction.atomic().__enter__()
    Order.objects.create()
    transaction.on_commit(lambda: called.append("discarded"))
    connection.needs_rollback = fails

    api.discard_session(connection)

    assert not connection.in_atomic_block
    with transaction.atomic():
        assert not Order.objects.exists()
        Order.objects.create()
        transaction.on_commit(lambda: called.append("later"))
    assert Order.objects.count() == 1
    assert called == ["later"]


@pytest.mark.django_db(transaction=True)
def test_discard_session_sets_all_that_connect_sets() -> None:
    """A state that a new Django keeps of transactions would be left behind."""
    connection.ensure_connection()
    state = vars(connections["default"])
    fresh = {name for name in state if "commit" in name or "atom" in name}

    assert fresh == {
        "autocommit", "commit_on_exit", "in_atomic_block", "atomic_blocks", "run_on_commit",
        "run_commit_hooks_on_set_autocommit_on",
    }  # fmt: skip
    assert {"needs_rollback", "savepoint_ids", "closed_in_transaction"} <= set(state)


def test_has_feature_knows_those_of_locks() -> None:
    assert not api.has_feature(connections["default"], "select_for_update")
    for name in ("select_for_update_nowait", "select_for_update_skip_locked"):
        assert not api.has_feature(connections["default"], name)
    assert not api.has_feature(connections["default"], "select_for_update_of")
    with pytest.raises(AttributeError):
        api.has_feature(connections["default"], "nothing_of_the_name")


def test_product_of_is_the_name_of_the_product() -> None:
    assert api.product_of(connections["default"]) == "SQLite"


@pytest.mark.django_db
def test_has_table_asks_the_database() -> None:
    assert api.has_table(connection, Order._meta.db_table)
    assert not api.has_table(connection, "nothing_of_the_name")


# Callbacks of transaction.on_commit.


class WithinTestCase(TestCase):
    """What a test case's own transactions are to these functions."""

    def test_in_test_case(self) -> None:
        assert api.in_test_case(connection)
        with transaction.atomic():
            assert api.in_test_case(connection)

    def test_would_have_committed(self) -> None:
        assert api.would_have_committed(connection)
        with transaction.atomic():
            assert not api.would_have_committed(connection)
        connection.needs_rollback = True
        try:
            assert not api.would_have_committed(connection)
        finally:
            connection.needs_rollback = False

    def test_callbacks_wait_for_the_test_case(self) -> None:
        before = api.count_commit_callbacks(connection)
        transaction.on_commit(lambda: None)

        assert api.count_commit_callbacks(connection) == before + 1


@pytest.mark.django_db(transaction=True)
def test_in_test_case_is_false_outside_of_test_cases() -> None:
    assert not api.in_test_case(connection)
    with transaction.atomic():
        assert not api.in_test_case(connection)


@pytest.mark.django_db(transaction=True)
def test_would_have_committed_is_false_outside_of_test_cases() -> None:
    assert not api.would_have_committed(connection)
    with transaction.atomic():
        assert not api.would_have_committed(connection)


@pytest.mark.django_db(transaction=True)
def test_count_commit_callbacks_in_a_transaction() -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: None)
        with transaction.atomic():
            transaction.on_commit(lambda: None)
        assert api.count_commit_callbacks(connection) == 2
    assert api.count_commit_callbacks(connection) == 0


@pytest.mark.django_db(transaction=True)
def test_remove_last_commit_callback_removes_that_and_no_other() -> None:
    called: list[int] = []

    def last() -> None:
        called.append(2)

    with transaction.atomic():
        assert not api.remove_last_commit_callback(connection, last)
        transaction.on_commit(lambda: called.append(1))
        transaction.on_commit(last)
        assert api.remove_last_commit_callback(connection, last)
        assert not api.remove_last_commit_callback(connection, last)
    assert called == [1]


@pytest.mark.parametrize("is_connected", [True, False])
def test_call_before_connections_close_is_called_before(
    monkeypatch: pytest.MonkeyPatch, is_connected: bool
) -> None:
    called: list[str] = []

    def receiver(**_: Any) -> None:
        called.append("receiver")

    monkeypatch.setattr(
        BaseDatabaseWrapper, "close_if_unusable_or_obsolete", lambda self: called.append("close")
    )
    if not is_connected:
        request_finished.disconnect(close_old_connections)
    try:
        api.call_before_connections_close(receiver)
        request_finished.send(sender=None)
    finally:
        request_finished.disconnect(receiver)
        request_finished.connect(close_old_connections)

    assert list(dict.fromkeys(called)) == ["receiver", "close"][: 1 + is_connected]


@pytest.mark.django_db(transaction=True)
def test_add_lasting_commit_callback_survives_savepoints_and_no_rollback() -> None:
    called: list[int] = []
    with transaction.atomic(), pytest.raises(ZeroDivisionError), transaction.atomic():
        api.add_lasting_commit_callback(connection, lambda: called.append(1))
        transaction.on_commit(lambda: called.append(2))
        raise ZeroDivisionError
    assert called == [1]
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        api.add_lasting_commit_callback(connection, lambda: called.append(3))
        raise ZeroDivisionError
    assert called == [1]


@pytest.mark.django_db(transaction=True)
def test_run_commit_callback_removes_it(caplog: pytest.LogCaptureFixture) -> None:
    called: list[int] = []

    def fail() -> None:
        raise ValueError("wrong")

    with transaction.atomic():
        transaction.on_commit(lambda: called.append(1))
        transaction.on_commit(fail, robust=True)
        transaction.on_commit(fail)
        transaction.on_commit(lambda: called.append(2))

        api.run_commit_callback(connection, 0)
        with caplog.at_level(logging.ERROR, "cereal_methods"):
            api.run_commit_callback(connection, 0)
        with pytest.raises(ValueError, match="wrong"):
            api.run_commit_callback(connection, 0)
        assert called == [1]
    assert called == [1, 2]
    assert "A robust callback of on_commit() failed: wrong" in caplog.text
