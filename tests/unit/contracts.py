"""What the contract tests of ``celery_api`` and ``django_api`` have in common."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType


def untested(api: ModuleType, *tests: ModuleType) -> list[str]:
    """Return the public names of a module without a test whose name begins with them."""
    names = [name for module in tests for name in vars(module)]
    begun = tuple(name.removeprefix("test_") for name in names if name.startswith("test_"))
    return [
        name
        for name in exported(api)
        if not any(known == name.lower() or known.startswith(f"{name.lower()}_") for known in begun)
    ]


def exported(api: ModuleType) -> list[str]:
    """Return the names that a module defines, or imports under an alias for others to use."""
    names: list[str] = []
    for node in ast.parse(inspect.getsource(api)).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.asname for alias in node.names if alias.asname]
    return [name for name in names if not name.startswith("_") and name != "logger"]
