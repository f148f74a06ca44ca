"""The benchmarks' database, and a table of orders in it for as long as they run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from django.conf import settings
from django.core.management import call_command
from django.db import ProgrammingError, connection

from .models import Order

#: The tables of what is sent, by this library and by the packages that it is compared with.
RECORD_TABLES: Final = ("cereal_records_taskrecord", "celery_outbox", "procrastinate_jobs")


@contextmanager
def table(rows: int) -> Iterator[None]:
    """Make the database, if it is not there, and a table of so many orders."""
    name = connection.settings_dict["NAME"]
    with connection._nodb_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)}")
    with suppress(ProgrammingError), connection.schema_editor() as editor:
        editor.delete_model(Order)
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    try:
        grow(rows)
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Order)


def grow(rows: int) -> None:
    """Make it so many rows, by copies of one that Django has made."""
    if not Order.objects.exists():
        Order.objects.create()
    there = Order.objects.count()
    fields = [field.column for field in Order._meta.fields if not field.primary_key]
    columns = ", ".join(map(connection.ops.quote_name, fields))
    table = connection.ops.quote_name(Order._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({columns}) SELECT {columns} "  # noqa: S608  (names of ours)
            f"FROM (SELECT {columns} FROM {table} LIMIT 1) AS one, generate_series(1, %s)",
            [max(0, rows - there)],
        )
        cursor.execute(f"ANALYZE {table}")


def make_record_tables() -> None:
    """Make the tables of durable tasks and of what they are compared with, in a schema of theirs.

    The process has ``BENCH_RECORDS=1`` in its environment.
    """
    drop_record_tables()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {settings.RECORDS_SCHEMA}")
    for app in ("cereal_records", "django_celery_outbox", "procrastinate"):
        call_command("migrate", app, verbosity=0)


def drop_record_tables() -> None:
    """Drop the schema of those tables."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {settings.RECORDS_SCHEMA} CASCADE")


def empty_record_tables() -> None:
    """Delete all rows of those tables, with what the database keeps of deleted rows."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(RECORD_TABLES)} CASCADE")
