"""What all checks have in common."""

from __future__ import annotations

import cProfile

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import override_settings

from cereal_methods.checks import serializers
from tests.celery import app

from .checking import BACKEND, ME, SHIP, Checked, use


def test_the_tests_own_project_has_nothing_to_report() -> None:
    assert run_checks(tags=["cereal_methods"], databases=[], include_deployment_checks=True) == []


def test_an_exception_in_a_check_is_reported(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serializers, "unusable", lambda name: 1 / 0)

    assert checked(SHIP) == [
        (
            "W008",
            "check_serializers could not run: ZeroDivisionError: division by zero",
            "Correct the error, and run the checks again.",
        )
    ]


def test_the_work_of_the_checks_grows_linearly_with_the_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def calls(many: int) -> int:
        """Return how many functions are called to check this many tasks."""
        tasks = {
            f"{number}.{name}": app.tasks[name] for number in range(many) for name in (SHIP, ME)
        }
        use(monkeypatch, tasks, result_serializer="json", **BACKEND)
        profile = cProfile.Profile()
        profile.runcall(run_checks, tags=["cereal_methods"], databases=[])
        return sum(entry.callcount for entry in profile.getstats())

    calls(1)  # imports and caches
    assert calls(1000) < 12 * calls(100)


# Django 6.1 asks databases, and here they are of SQLite.
@override_settings(SILENCED_SYSTEM_CHECKS=["cereal_methods.W006", "cereal_methods.W010"])
@pytest.mark.django_db(databases="__all__")
def test_the_checks_pass_with_the_command() -> None:
    call_command("check", "--fail-level", "WARNING", "--tag", "cereal_methods")
