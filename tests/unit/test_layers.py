"""The rooms of the library: imports point down, and modules are short."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import cereal_methods

ROOT = Path(cereal_methods.__file__).parent
PROJECT = Path(__file__).parents[2]
FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)

#: Lines of the longest module that may be.
LONGEST = 300


def name_of(path: Path) -> str:
    """Return a module's name within the package; that of the package itself is empty."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in FILES}


class Import(NamedTuple):
    """An import within a function: the module that it is in, and what it imports."""

    module: str
    imported: str


def imports_within_functions(path: Path) -> Iterator[Import]:
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and node.level:
                    for alias in node.names:
                        yield Import(name_of(path), f"{node.module or ''}.{alias.name}".strip("."))


def floors() -> list[set[str]]:
    """Return the rooms and modules on each floor, the highest first, as import-linter has them."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(each for each in settings["contracts"] if each["type"] == "layers")
    return [set(floor.replace(" ", "").split(":")) for floor in contract["layers"]]


def test_there_are_seven_floors_at_most() -> None:
    assert len(floors()) <= 7


def test_each_room_is_on_a_floor() -> None:
    rooms = {name.partition(".")[0] for name in MODULES if name}

    assert set.union(*floors()) == rooms


def test_modules_are_imported_in_functions_only_where_a_framework_asks_for_it() -> None:
    imports = {name for path in FILES for name in imports_within_functions(path)}

    assert imports == {
        Import("apps", "checks"),  # Django: checks are registered when its apps are ready
        Import("records.apps", "checks.TAG"),  # and models are there only then
        Import("records.apps", "checks.check_routers"),
        Import("records.apps", "checks.check_tables"),
        Import("records.apps", "durable.Records"),
        Import("records.apps", "following.on_success"),
        Import("records.apps", "marks.mark_all"),
        Import("records.apps", "running.durability"),
        Import("entry_points", "running.decoding.decoded"),  # kombu: it is not yet imported
        Import("integrations.pytest", "testing.record_tasks"),  # pytest: a plugin is imported
        Import("integrations.pytest", "testing.assert_num_fetches"),  # by every project
    }


@pytest.mark.parametrize(
    "name", sorted(name for name in MODULES if MODULES[name].stem == "__init__")
)
def test_a_room_says_in_a_sentence_what_it_is_for(name: str) -> None:
    document = ast.get_docstring(ast.parse(MODULES[name].read_text()))

    assert document
    assert document.split("\n\n")[0].endswith(".")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_is_not_too_long(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= LONGEST


def test_no_file_of_tests_is_too_long() -> None:
    files = [path for path in (PROJECT / "tests").rglob("*.py") if "__pycache__" not in path.parts]

    assert len(files) > 100
    assert [path for path in files if len(path.read_text().splitlines()) > 400] == []
