"""A project that does not install the app imports nothing of it, and is told what is missing."""

from __future__ import annotations

from ..interpreters import run_program


def test_nothing_is_imported_or_migrated_and_durable_is_refused() -> None:
    modules, models, refusal = run_program("without_records").splitlines()

    assert modules == "[]"
    assert models == "['Order']"
    assert refusal == (
        "charge is durable, but no app records durable tasks here. Add 'cereal_methods.records' to "
        "INSTALLED_APPS and run migrate, or remove durable=True."
    )
