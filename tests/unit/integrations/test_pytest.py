"""The fixtures that the installed package gives to pytest."""

from __future__ import annotations

import shutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from cereal_methods.integrations import pytest as pytest_plugin
from cereal_methods.testing import RecordedTasks, assert_num_fetches
from tests.shop.models import Order

from ..interpreters import run_program


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that does not use the library, with two tests."""
    probe = Path(__file__).parents[1] / "programs" / "pytest_probe.py"
    shutil.copy(probe, tmp_path / "test_probe.py")
    return tmp_path


def test_the_installed_package_names_its_plugin() -> None:
    (point,) = entry_points(group="pytest11", name="cereal_methods")

    assert point.load() is pytest_plugin


def test_pytest_imports_little_in_projects_that_do_not_use_it(project: Path) -> None:
    options = ["--", "-s", "-W", "error"]

    printed = run_program("run_pytest", *options, directory=project, settings="")

    modules = ["entry_points", "integrations", "integrations.pytest"]
    assert str(["cereal_methods", *(f"cereal_methods.{name}" for name in modules)]) in printed
    assert "2 passed" in printed


def test_pytest_may_be_started_where_the_package_is_imported_already(project: Path) -> None:
    options = ["cereal_methods", "--", "-W", "error", "-k", "fixtures"]

    printed = run_program("run_pytest", *options, directory=project, settings="")

    assert "1 passed" in printed


def test_the_helpers_need_no_pytest() -> None:
    assert run_program("testing_without_pytest") == "False"


@pytest.mark.django_db
def test_the_fixture_records_the_test(recorded_tasks: RecordedTasks) -> None:
    order = Order.objects.create()
    result = order.ship.delay("dhl")
    recorded_tasks.run()

    assert result.get() == "shipped"
    recorded_tasks.assert_sent(order.ship, "dhl")


def test_the_fixture_needs_no_database(recorded_tasks: RecordedTasks) -> None:
    recorded_tasks.assert_num_sent(0)


def test_assert_num_fetches_is_a_fixture_too(request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue("assert_num_fetches") is assert_num_fetches
