"""What the checks say of durable methods whose records would be elsewhere, or nowhere."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from cereal_methods.records.checks import check_routers, check_tables
from cereal_methods.records.models import TaskRecord

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class Elsewhere:
    """A router that keeps the records on one database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if app_label == "cereal_records" else None


def test_all_is_well() -> None:
    assert check_routers(None) == []


def test_a_router_that_does_not_allow_records_is_an_error(settings: Any) -> None:
    settings.DATABASE_ROUTERS = [Elsewhere()]
    (message,) = check_routers(None)
    assert message.id == "cereal_methods.E011"
    assert "and a database router does not allow the table of records there" in message.msg


def test_a_database_without_the_table_is_a_warning() -> None:
    table = TaskRecord._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    try:
        found = check_tables(None, databases=["default"])
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    absent = [message for message in found if message.id == "cereal_methods.W011"]
    assert [message.hint for message in absent] == ["Run migrate --database default."]


def test_a_database_that_locks_itself_is_a_warning() -> None:
    (message,) = check_tables(None, databases=["default"])
    assert message.id == "cereal_methods.W010"


def test_databases_are_asked_only_where_django_gives_them() -> None:
    assert check_tables(None) == []
