"""Checks of the settings: their values, aliases and signing keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Error, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from ..test_conf import RIGHT, WRONG
from .checking import told, without_addresses


def reported() -> list[Any]:
    """Return what the library's checks report."""
    return run_checks(tags=["cereal_methods"], databases=[])


@pytest.mark.parametrize(("setting", "messages"), WRONG, ids=str)
def test_a_wrong_setting_is_reported(setting: Any, messages: list[str]) -> None:
    with override_settings(CEREAL_METHODS=setting):
        assert reported() == [
            Error(message, hint="Correct CEREAL_METHODS in the settings.", id="cereal_methods.E001")
            for message in messages
        ]


@pytest.mark.parametrize("setting", [{}, None, *RIGHT], ids=str)
def test_a_right_setting_is_not_reported(setting: Any) -> None:
    with override_settings(CEREAL_METHODS=setting):
        assert reported() == []


def test_the_settings_of_the_tests_are_right() -> None:
    assert reported() == []


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
        assert [error.msg for error in reported()] == [
            "CEREAL_METHODS['FETCH_MAX_RETRIES'] must be a whole number."
        ]


def test_a_serializer_that_does_not_exist_is_reported() -> None:
    with override_settings(CEREAL_METHODS={"SERIALIZER": "cereal-jsn"}):
        assert [error.id for error in reported()] == ["cereal_methods.E001"]


@override_settings(CEREAL_METHODS={"MODEL_ALIASES": {"shop.Bill": "shop.Ordr"}})
def test_an_alias_of_a_model_that_does_not_exist_is_reported() -> None:
    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "E007",
            "CEREAL_METHODS['MODEL_ALIASES'] maps 'shop.Bill' to 'shop.Ordr', which is not an "
            "installed model.",
            "Write the label of an installed model, as in 'shop.Order'.",
        )
    ]


@override_settings(CEREAL_METHODS={"MODEL_ALIASES": {"shop.Gift": "shop.Order", "a": "shop.Order"}})
def test_an_alias_that_hides_a_model_is_reported() -> None:
    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "W002",
            "CEREAL_METHODS['MODEL_ALIASES'] maps 'shop.Gift' to 'shop.Order', but the model "
            "'shop.Gift' still exists. Its messages would run on rows of 'shop.Order'.",
            "Remove 'shop.Gift' from MODEL_ALIASES, or rename the model.",
        )
    ]


STRONG = "0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"SIGNING_KEY": STRONG}, []),
        ({"SIGNING_KEY": STRONG, "SIGNING_KEY_FALLBACKS": ["the key of the tests"]}, []),
        ({"SIGNING_KEY": "the key of the tests"}, ["W003", "W005"]),
        ({"SIGNING_KEY": b"the key of the tests"}, ["W003", "W005"]),
        ({"SIGNING_KEY": STRONG, "SIGNING_KEY_FALLBACKS": [STRONG.encode()]}, ["W004"]),
        ({"SIGNING_KEY": "another key, which was once the secret one"}, ["W003"]),
        ({"SIGNING_KEY": STRONG[:31]}, ["W005"]),
        ({"SIGNING_KEY": "abcd" * 10}, ["W005"]),
        ({"SIGNING_KEY": f"django-insecure-{STRONG}"}, ["W005"]),
        ({"SIGNING_KEY": ""}, ["E001"]),
    ],
    ids=without_addresses,
)
@override_settings(SECRET_KEY_FALLBACKS=["another key, which was once the secret one"])
def test_signing_keys_that_are_weak_or_used_twice_are_reported(
    settings: Any, ids: list[str]
) -> None:
    with override_settings(CEREAL_METHODS=settings):
        messages = told(
            run_checks(tags=["cereal_methods"], databases=[], include_deployment_checks=True)
        )
        plain = told(run_checks(tags=["cereal_methods"], databases=[]))

    assert [code for code, *_ in messages] == ids
    assert [code for code, *_ in plain] == [code for code in ids if code != "W005"]
    assert not any(STRONG in f"{message}{hint}" for _, message, hint in messages)


def test_errors_are_errors_of_django() -> None:
    with override_settings(CEREAL_METHODS=7):
        assert [type(message) for message in run_checks(tags=["cereal_methods"], databases=[])] == [
            Error
        ]
