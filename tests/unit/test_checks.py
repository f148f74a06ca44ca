"""System checks: what ``manage.py check`` says of the settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from .test_conf import RIGHT, WRONG


def found() -> list[Any]:
    """Return what the library's checks report."""
    return run_checks(tags=["cereal_methods"], databases=[])


@pytest.mark.parametrize(("given", "messages"), WRONG, ids=str)
def test_a_wrong_setting_is_reported(given: Any, messages: list[str]) -> None:
    with override_settings(CEREAL_METHODS=given):
        assert found() == [
            Error(message, hint="Correct CEREAL_METHODS in the settings.", id="cereal_methods.E001")
            for message in messages
        ]


@pytest.mark.parametrize("given", [{}, None, *RIGHT], ids=str)
def test_a_right_setting_is_not_reported(given: Any) -> None:
    with override_settings(CEREAL_METHODS=given):
        assert found() == []


def test_the_settings_of_the_tests_are_right() -> None:
    assert found() == []


def test_the_check_is_one_of_djangos() -> None:
    with (
        override_settings(CEREAL_METHODS={"ON_COMIT": True}),
        pytest.raises(SystemCheckError) as caught,
    ):
        call_command("check")

    assert str(caught.value) == (
        "SystemCheckError: System check identified some issues:\n\nERRORS:\n?: "
        "(cereal_methods.E001) CEREAL_METHODS has no setting 'ON_COMIT'. Did you mean "
        "'ON_COMMIT'?\n\tHINT: Correct CEREAL_METHODS in the settings.\n\n"
        "System check identified 1 issue (0 silenced)."
    )


def test_an_infinite_number_of_retries_is_reported() -> None:
    with override_settings(CEREAL_METHODS={"FETCH_MAX_RETRIES": float("inf")}):
        assert [error.msg for error in found()] == [
            "CEREAL_METHODS['FETCH_MAX_RETRIES'] must be a whole number."
        ]


def test_a_serializer_that_does_not_exist_is_reported() -> None:
    with override_settings(CEREAL_METHODS={"SERIALIZER": "cereal-jsn"}):
        assert [error.id for error in found()] == ["cereal_methods.E001"]
