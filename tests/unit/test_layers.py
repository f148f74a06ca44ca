"""The modules of the library: in layers, whose imports point down, and of a bearable size."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import cereal_methods

#: The modules, each of which imports those below it only.
LAYERS = [
    "admin",
    "admin.options",
    "admin.pages",
    "admin.checks",
    "admin.dispatch",
    "admin.history",
    "admin.runs",
    "admin.actions",
    "admin.arguments",
    "management.commands.run_model_task",
    "management.commands.model_tasks",
    "management.commands.bulk_result",
    "management.commands",
    "management.selection",
    "management.method_tasks",
    "management.report",
    "management.progress",
    "management",
    "apps",
    "checks",
    "checks.databases",
    "checks.methods",
    "checks.schedules",
    "checks.serializers",
    "checks.settings",
    "checks.registry",
    "logs",
    "pytest_plugin",
    "testing",
    "testing.fetches",
    "testing.recorder",
    "testing.running",
    "testing.commits",
    "testing.recordings",
    "testing.messages",
    "testing.calls",
    "testing.backend",
    "opentelemetry",
    "sentry",
    "intake",
    "compressions",
    "envelopes",
    "pickle",
    "methods",
    "bound",
    "periodic",
    "bulk",
    "tallies",
    "counts",
    "records",
    "canvas",
    "tasks",
    "requests",
    "hooks",
    "invocation",
    "plans",
    "targets",
    "batches",
    "parts",
    "attempts",
    "sessions",
    "window",
    "progress",
    "definitions",
    "validators",
    "proxies",
    "publishing",
    "headers",
    "options",
    "serializers.json",
    "serializers.msgpack",
    "serializers.pickle",
    "serializers.yaml",
    "serializers.body",
    "serializers.tables",
    "serializers.nesting",
    "serializers.acceptance",
    "serializers.signing",
    "serializers",
    "results",
    "journal",
    "outcomes",
    "codec",
    "shown",
    "arguments",
    "resolutions",
    "calls",
    "failures",
    "display",
    "policies",
    "hydration",
    "references",
    "keys",
    "stand_ins",
    "embeds",
    "connections",
    "conf",
    "exceptions",
]

#: The layers that know nothing of Celery; ``exceptions`` knows kombu's.
WITHOUT_CELERY = [
    "policies",
    "hydration",
    "references",
    "keys",
    "stand_ins",
    "connections",
    "conf",
    "serializers",
    "serializers.signing",
]

ROOT = Path(cereal_methods.__file__).parent


class Import(NamedTuple):
    """One import: the module that it is in, what it imports, and how deep it stands."""

    module: str
    imported: str
    indented: bool


def name_of(path: Path) -> str:
    """Return a module's name within the package; that of the package itself is empty."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> Iterator[Import]:
    """Give the imports in a file, with those of the package by their names within it."""
    module = name_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.col_offset > 0)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(module, str(node.module), node.col_offset > 0)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            base = [*parts[: len(parts) - node.level + 1], *(node.module or "").split(".")]
            start = ".".join(part for part in base if part)
            for alias in node.names:
                dotted = f"{start}.{alias.name}" if start else alias.name
                found = dotted if dotted in MODULES else start
                yield Import(module, f"cereal_methods.{found}", node.col_offset > 0)


FILES = sorted(path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts)
MODULES = {name_of(path): path for path in FILES}


def own(path: Path) -> list[Import]:
    """Return the imports of the package's own modules, without those for types alone."""
    found = [each for each in imports(path) if each.imported.startswith("cereal_methods.")]
    return [each._replace(imported=each.imported.partition(".")[2]) for each in found]


def test_every_module_is_in_a_layer() -> None:
    assert sorted(LAYERS) == sorted(name for name in MODULES if name)


@pytest.mark.parametrize("name", LAYERS)
def test_imports_point_down(name: str) -> None:
    below = LAYERS[LAYERS.index(name) + 1 :]

    upward = [each.imported for each in own(MODULES[name]) if each.imported not in below]

    assert upward == []


def test_the_imports_are_seen() -> None:
    assert {each.imported for each in own(MODULES["serializers.pickle"])} == {
        "arguments",
        "exceptions",
        "references",
        "serializers.body",
        "serializers.signing",
        "serializers.tables",
    }
    assert "conf" in {each.imported for each in own(MODULES["checks.settings"])}


def test_modules_are_imported_in_functions_only_where_django_asks_for_it() -> None:
    # The package's __init__ imports for type checkers; so do modules for what is above them.
    indented = {
        (each.module, each.imported)
        for name, path in MODULES.items()
        for each in own(path)
        if each.indented and name and not is_for_types(path, each)
    }

    assert indented == {("apps", "checks")}


def is_for_types(path: Path, found: Import) -> bool:
    """Tell whether an import stands under ``if TYPE_CHECKING``."""
    lines = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return any(found.imported.rpartition(".")[2] in line for line in lines)


@pytest.mark.parametrize("name", WITHOUT_CELERY)
def test_the_lower_layers_know_nothing_of_celery(name: str) -> None:
    packages = {each.imported.partition(".")[0] for each in imports(MODULES[name])}

    assert packages & {"celery", "kombu", "wrapt"} == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_is_not_too_long(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= 500
