"""Signing keys that are empty, or that cannot be encoded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.core.checks import ERROR
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.views.debug import ExceptionReporter

from cereal_methods.checks.settings import (
    check_empty_keys,
    check_key_strength,
    check_keys,
    check_settings,
)
from cereal_methods.running.consumer import MessageChecks
from cereal_methods.serializers import signing
from tests.celery import app

from ..bodies import call_body, decode, encode, unpack

# Pages of errors show lines of source as well: none of them has a key in it.
MARK = "".join(["k3y", "-"])
KEYS: dict[str, Any] = {"SECRET_KEY": f"{MARK}1", "SECRET_KEY_FALLBACKS": [f"{MARK}2", ""]}

EMPTY: list[dict[str, Any]] = [
    {"SECRET_KEY_FALLBACKS": [""]},
    {"SECRET_KEY_FALLBACKS": ["former", b""]},
    {"SECRET_KEY_FALLBACKS": [None]},
    {"SECRET_KEY_FALLBACKS": ["  \n"]},
    {"SECRET_KEY_FALLBACKS": "former"},  # pragma: allowlist secret
    {"SECRET_KEY": " "},
    {"CEREAL_METHODS": {"SIGNING_KEY": ""}},
    {"CEREAL_METHODS": {"SIGNING_KEY": " "}},
    {"CEREAL_METHODS": {"SIGNING_KEY_FALLBACKS": [""]}},
    {"CEREAL_METHODS": {"SIGNING_KEY": "own"}, "SECRET_KEY_FALLBACKS": [""]},
]


def reported() -> list[Any]:
    """Return what the checks of the settings report."""
    return [*check_settings(None), *check_empty_keys(None)]


@pytest.mark.parametrize("overrides", EMPTY, ids=str)
def test_nothing_is_signed_or_verified_with_an_empty_key(overrides: dict[str, Any]) -> None:
    payload = encode(call_body([1]), "cereal-pickle")

    with override_settings(**overrides):
        with pytest.raises(ImproperlyConfigured):
            signing.sign(b"\x01", b"content")
        with pytest.raises(ImproperlyConfigured):
            signing.verify(b"0" * 32, b"\x01", b"content")
        with pytest.raises(ImproperlyConfigured):
            unpack(*decode(payload, "cereal-pickle")[:2])


@pytest.mark.parametrize("overrides", EMPTY, ids=str)
def test_an_empty_key_is_an_error_of_the_checks(overrides: dict[str, Any]) -> None:
    with override_settings(**overrides):
        (report,) = reported()

    assert report.level == ERROR
    assert report.id in ("cereal_methods.E010", "cereal_methods.E001")


@pytest.mark.parametrize("overrides", EMPTY, ids=str)
def test_a_worker_with_row_tasks_stops_as_it_starts(overrides: dict[str, Any]) -> None:
    with override_settings(**overrides), pytest.raises(ImproperlyConfigured):
        MessageChecks(mock.Mock(app=app))


def test_a_worker_without_row_tasks_starts() -> None:
    with override_settings(SECRET_KEY_FALLBACKS=[""]):
        MessageChecks(mock.Mock(app=SimpleNamespace(tasks={}, conf=app.conf)))


def test_the_error_of_an_empty_key_says_what_to_do() -> None:
    with override_settings(SECRET_KEY=" ", SECRET_KEY_FALLBACKS=["former", ""]):
        with pytest.raises(ImproperlyConfigured) as caught:
            signing.sign(b"\x01", b"content")
        (report,) = reported()

    assert report.msg == (
        "SECRET_KEY and SECRET_KEY_FALLBACKS: a key is empty, or is neither a string nor bytes."
    )
    assert report.hint == (
        "Anyone who can write to the broker can sign with it, and run any code in the workers. "
        "Remove it from the settings, or give it its value."
    )
    assert str(caught.value) == f"{report.msg} {report.hint}"


def test_fallbacks_of_the_signing_key_replace_those_of_the_secret_key() -> None:
    setting = {"SIGNING_KEY": "own", "SIGNING_KEY_FALLBACKS": []}
    with override_settings(SECRET_KEY_FALLBACKS=[""], CEREAL_METHODS=setting):
        assert signing.weak_keys() == ""


@pytest.mark.parametrize("code", [0xDCFF, 0xD800])
def test_a_key_that_is_not_utf_8_signs_and_raises_nothing(code: int) -> None:
    key = "five different ones: 1 2 3 4 5" + chr(code)
    with override_settings(CEREAL_METHODS={"SIGNING_KEY": key}):
        payload = encode(call_body([1]), "cereal-pickle")
        assert unpack(*decode(payload, "cereal-pickle")[:2]) == ((1,), {})
        assert [*reported(), *check_keys(None), *check_key_strength(None)] == []


def test_no_page_of_an_empty_key_shows_the_others() -> None:
    with override_settings(DEBUG=True, **KEYS):
        try:
            signing.sign(b"\x01", b"content")
        except ImproperlyConfigured as error:
            page = ExceptionReporter(None, type(error), error, error.__traceback__)
            shown = page.get_traceback_html()

    assert MARK not in shown
