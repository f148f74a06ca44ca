"""The check of the locks that databases have."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Warning as CheckWarning
from django.core.checks import run_checks
from django.db import connection

from cereal_methods.checks.databases import check_locks
from tests.celery import app

from .checking import SHIP, told, use


@pytest.mark.django_db
def test_databases_are_checked_if_they_are_named(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    ours = {name: task for name, task in app.tasks.items() if name.startswith("tests.shop.")}
    use(monkeypatch, ours)

    with django_assert_num_queries(0):
        messages = run_checks(tags=["cereal_methods"], databases=["default"])

    (warning,) = [message for message in messages if message.id == "cereal_methods.W006"]
    assert isinstance(warning, CheckWarning)
    assert str(warning.msg).startswith(
        "The database 'default' (SQLite) does not support select_for_update, which tests.shop."
    )
    assert " more use." in warning.msg


def test_an_unsupported_lock_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    features = connection.features
    for name in ("", "_nowait", "_of"):
        monkeypatch.setattr(type(features), f"has_select_for_update{name}", True)
    names = [f"tests.shop.models.{model}.add_or_skip" for model in ("Gift", "Order", "PaidOrder")]
    use(monkeypatch, {name: app.tasks[name] for name in [*names, SHIP]})

    (warning,) = check_locks(databases=["default"])

    assert told([warning]) == [
        (
            "W006",
            "The database 'default' (SQLite) does not support select_for_update with skip_locked, "
            f"which {', '.join(names)} use.",
            "Sending such a task raises an error. Use another database, or remove the option.",
        )
    ]


def test_a_database_that_routers_do_not_write_to_is_not_checked() -> None:
    assert check_locks(databases=["archive"]) == []
