"""The fixtures that pytest finds where the package is installed."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from cereal_methods.integrations import pytest as pytest_plugin
from cereal_methods.testing import RecordedTasks, assert_num_fetches
from tests.shop.models import Order

from ..interpreters import SETUP, run

#: A project that has nothing to do with Django: its tests see what is imported.
PROBE = """
import sys

import pytest


def test_nothing_is_imported():
    heavy = ["celery", "kombu", "django.conf", "django.db", "wrapt"]
    assert [name for name in heavy if name in sys.modules] == []
    own = sorted(name for name in sys.modules if name.startswith("cereal_methods"))
    print(own)


def test_the_fixtures_are_there(request):
    assert request._fixturemanager.getfixturedefs("recorded_tasks", request.node)
"""


def test_the_installed_package_names_its_plugin() -> None:
    (point,) = entry_points(group="pytest11", name="cereal_methods")

    assert point.load() is pytest_plugin


def test_pytest_imports_little_in_projects_that_do_not_use_it(tmp_path: Path) -> None:
    (tmp_path / "test_probe.py").write_text(PROBE)

    printed = run(
        """
        import sys

        import pytest

        options = ["-q", "-s", "-W", "error", "-p", "no:cacheprovider", "-p", "no:django"]
        sys.exit(pytest.main(options))
        """,
        directory=tmp_path,
        settings="",
    )

    modules = ["entry_points", "integrations", "integrations.pytest"]
    assert str(["cereal_methods", *(f"cereal_methods.{name}" for name in modules)]) in printed
    assert "2 passed" in printed


def test_pytest_may_be_started_where_the_package_is_imported_already(tmp_path: Path) -> None:
    (tmp_path / "test_probe.py").write_text("def test_nothing(): ...")

    printed = run(
        """
        import sys

        import cereal_methods
        import pytest

        sys.exit(pytest.main(["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:django"]))
        """,
        directory=tmp_path,
        settings="",
    )

    assert "1 passed" in printed


def test_the_helpers_need_no_pytest() -> None:
    found = run(SETUP, "import sys, cereal_methods.testing; print('pytest' in sys.modules)")

    assert found == "False"


@pytest.mark.django_db
def test_the_fixture_records_the_test(recorded_tasks: RecordedTasks) -> None:
    order = Order.objects.create()
    result = order.ship.delay("dhl")
    recorded_tasks.run()

    assert result.get() == "shipped"
    recorded_tasks.assert_sent(order.ship, "dhl")


def test_the_fixture_needs_no_database(recorded_tasks: RecordedTasks) -> None:
    recorded_tasks.assert_num_sent(0)


def test_the_count_is_a_fixture_too(request: pytest.FixtureRequest) -> None:
    found: Any = request.getfixturevalue("assert_num_fetches")

    assert found is assert_num_fetches
