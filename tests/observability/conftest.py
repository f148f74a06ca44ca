"""Fixtures: those of the worker tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker.conftest import (
    django_db_modify_db_settings,
    nowhere,
    result_tables,
    route,
    servers,
    start_worker,
)

__all__ = [
    "django_db_modify_db_settings",
    "nowhere",
    "result_tables",
    "route",
    "servers",
    "start_worker",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.worker)
            item.add_marker(pytest.mark.django_db(transaction=True, databases="__all__"))
