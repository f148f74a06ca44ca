"""The examples of docs/testing.md, run as a reader runs them: without a broker or a worker."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ..examples import blocks, project, write_project
from ..interpreters import ROOT, run_python

PAGE = ROOT / "docs" / "testing.md"

#: Prints the message that the page shows.
MESSAGE = Path(__file__).parents[1] / "programs" / "message_of_an_assertion.py"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the tests of the page."""
    directory = tmp_path_factory.mktemp("project")
    examples = [(block.file, block.source) for block in blocks(PAGE) if block.file]
    write_project(directory, project("order", "testing"), examples)
    return directory


def run(directory: Path, *command: str) -> str:
    """Return what a command prints, in the project."""
    options: Any = {"directory": directory, "settings": "config.settings"}
    return run_python(*command, **options, with_stderr=True)


def test_the_examples_are_all_run() -> None:
    files = re.findall(r"^```python\n(.*)$", PAGE.read_text(), re.M)

    assert sorted(files) == ["# shop/test_orders.py"] * 2 + ["# shop/tests.py"] * 5


def test_django_runs_the_examples(directory: Path) -> None:
    printed = run(directory, "-m", "django", "test")

    assert "Ran 6 tests" in printed
    assert "\nOK" in printed


def test_pytest_runs_the_examples_and_shows_the_message(directory: Path) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    shutil.copy(MESSAGE, directory / "shop" / "test_message.py")
    files = ["shop/test_orders.py", "shop/test_message.py"]

    options = ["-W", "error", "-s", "-p", "no:cacheprovider"]
    printed = run(directory, "-m", "pytest", *options, *files)

    assert "3 passed" in printed
    assert shown in printed
