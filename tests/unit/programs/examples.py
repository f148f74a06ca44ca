"""Run a page's examples in the project of the current directory, and print what failed as JSON.

``calls.json`` in that directory has the page, the project's modules and the examples.
"""

from __future__ import annotations

import doctest
import importlib
import json
import warnings
from pathlib import Path
from typing import Any


def main() -> list[str]:
    """Return the failures of the examples."""
    page, modules, calls = json.loads(Path("calls.json").read_text())
    names = prepare(modules)
    failures: list[str] = []
    parser = doctest.DocTestParser()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for line, kind, source in calls:
        try:
            if kind == "python":
                exec(compile("\n" * line + source, page, "exec"), names)
                continue
            test = parser.get_doctest(source, names, page, page, line)
            output: list[str] = []
            runner.run(test, out=output.append, clear_globs=False)
            names.update(test.globs)
            if output:
                failures.append("".join(output))
        except Exception as error:
            failures.append(f"line {line + 1}: {type(error).__name__}: {error}")
    return failures


def prepare(modules: list[str]) -> dict[str, Any]:
    """Set the project up, and return the names that examples use without an import."""
    # send_task sends, even with CELERY_TASK_ALWAYS_EAGER.
    warnings.filterwarnings("ignore", "task_always_eager has no effect on send_task")
    project = importlib.import_module("config")
    import django

    django.setup()

    from celery import chain, chord, group
    from django.core.management import call_command
    from django.db import connections, transaction

    from cereal_methods import BulkResult, apply_on_commit

    names: dict[str, Any] = {}
    for module in modules:
        names.update(vars(importlib.import_module(module)))
    for alias in connections:
        call_command("migrate", run_syncdb=True, verbosity=0, database=alias)
    call_command("check")
    names.update(
        app=project.app,
        apply_on_commit=apply_on_commit,
        BulkResult=BulkResult,
        chain=chain,
        chord=chord,
        group=group,
        transaction=transaction,
    )
    orders = names["Order"].objects
    names["order"], names["other_order"] = orders.create(), orders.create()
    names["orders"] = orders.all()
    if "Invoice" in names:
        names["invoice"] = names["Invoice"].objects.create(order=names["order"])
    return names


if __name__ == "__main__":
    failures = main()
    print()
    print(json.dumps(failures))
