"""Under tox the tests run on the installed package, not on the checkout."""

from __future__ import annotations

import os
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import pytest

import cereal_methods

from .interpreters import ROOT, run_program

pytestmark = pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="not run by tox")

INSTALLED = Path(sysconfig.get_path("purelib")) / "cereal_methods" / "__init__.py"


def test_the_installed_package_is_tested() -> None:
    assert Path(cereal_methods.__file__) == INSTALLED


def test_the_installed_package_is_tested_in_processes_of_their_own() -> None:
    assert run_program("installed") == str(INSTALLED)


def test_the_wheel_holds_the_package_and_nothing_else() -> None:
    # The link is to the checkout itself, which lies around it.
    package = (ROOT / "README.md").resolve().parent / "cereal_methods"
    checkout = {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    wheel = distribution("django-cereal-methods")
    information = f"django_cereal_methods-{wheel.version}.dist-info"
    # What pip writes of its own.
    pips = {f"{information}/{name}" for name in ("INSTALLER", "REQUESTED", "direct_url.json")}

    files = {path.as_posix() for path in wheel.files or () if "__pycache__" not in path.parts}

    assert "cereal_methods/py.typed" in checkout
    assert files - pips == checkout | {
        f"{information}/METADATA",
        f"{information}/RECORD",
        f"{information}/WHEEL",
        f"{information}/entry_points.txt",
        f"{information}/licenses/LICENSE",
        f"{information}/top_level.txt",
    }


def test_the_wheel_needs_three_packages() -> None:
    required = distribution("django-cereal-methods").requires or []

    always = [need for need in required if "extra ==" not in need]
    assert sorted(always) == ["Django>=5.2", "celery<6,>=5.5", "wrapt<3,>=1.17"]
