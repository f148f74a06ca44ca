"""Signing keys: how signatures are compared, and where keys are never seen."""

from __future__ import annotations

import ast
import hmac
import inspect
import logging
import pickle
import sys
import traceback
import warnings
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings
from django.views.debug import ExceptionReporter
from kombu.exceptions import DecodeError

from cereal_methods import checks
from cereal_methods.exceptions import SignatureMismatch
from cereal_methods.serializers import pickle as cereal_pickle
from cereal_methods.serializers import signing
from tests.celery import app

from ..bodies import call_body, decode, encode, unpack

NAME = "cereal-pickle"
# Pages of errors show lines of source as well: none of them has a key in it.
MARK = "".join(["k3y", "-"])
KEYS = {
    "SECRET_KEY": f"{MARK}0",
    "SECRET_KEY_FALLBACKS": [f"{MARK}1"],
    "CEREAL_METHODS": {
        "SIGNING_KEY": f"{MARK}2",
        "SIGNING_KEY_FALLBACKS": [f"{MARK}3", f"{MARK}4".encode()],
    },
}
WRONG = {**KEYS, "CEREAL_METHODS": {"SIGNING_KEY": f"{MARK}2", "SIGNING_KEY_FALLBACK": MARK}}


@pytest.fixture
def keys() -> Any:
    """Give this process keys that are easily seen, and return a body of another key."""
    payload = encode(call_body([1]), NAME)
    with override_settings(**KEYS):
        yield payload


def test_signatures_are_compared_in_constant_time(
    keys: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    real = hmac.compare_digest
    monkeypatch.setattr(signing.hmac, "compare_digest", spy)

    decode(keys, NAME)[0].call.frame()
    assert compared == [(32, 32)] * 3  # the key and both of its fallbacks
    compared.clear()
    decode(encode(call_body([1]), NAME), NAME)[0].call.frame()
    assert compared == [(32, 32)]


@pytest.mark.parametrize("module", [signing, cereal_pickle])
def test_signatures_are_compared_in_no_other_way(module: Any) -> None:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Compare):
            assert "sign" not in ast.unparse(node).lower()
            assert module is not signing or isinstance(node.ops[0], (ast.Is, ast.IsNot))


def test_nothing_is_parsed_by_pickle_before_the_signature_is_verified(
    keys: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(cereal_pickle, "_Unpickler", forbidden)
    monkeypatch.setattr(cereal_pickle, "_SafeUnpickler", forbidden)

    args, kwargs, embed = decode(keys, NAME)
    assert repr((args, kwargs)) == "(('<unreadable message>',), {})"
    assert dict(embed)["chain"] is None
    with pytest.raises(SignatureMismatch):
        unpack(args, kwargs)


def around(text: str) -> str:
    """Return the first place of a text that has a key in it."""
    at = text.index(MARK)
    return text[max(at - 200, 0) : at + 40]


def _reports(error: BaseException) -> list[str]:
    """Return what people get to see of an error."""
    reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
    return [
        str(error),
        repr(error),
        repr(vars(error)),
        "".join(traceback.format_exception(error)),
        reporter.get_traceback_text(),
        reporter.get_traceback_html(),
    ]


@pytest.mark.parametrize("debug", [False, True])
def test_error_reports_of_a_mismatch_do_not_show_keys(keys: bytes, debug: bool) -> None:
    args, kwargs, embed = decode(keys, NAME)
    told = [repr(args.call), repr(embed), repr(pickle.dumps((args, kwargs, embed)))]
    with override_settings(DEBUG=debug):
        try:
            unpack(args, kwargs)
        except SignatureMismatch as error:
            told += _reports(error)
        with override_settings(SECRET_KEY=f"{MARK}5"):
            payload = encode({"status": "SUCCESS", "result": 1}, NAME)
        try:
            decode(payload[:1] + b"x" + payload[2:], NAME)
        except DecodeError as error:
            told += _reports(error)

    assert len(told) == 15
    assert [around(text) for text in told if MARK in text] == []


@pytest.mark.parametrize("debug", [False, True])
def test_error_reports_of_wrong_settings_do_not_show_keys(debug: bool) -> None:
    with override_settings(**WRONG, DEBUG=debug):
        try:
            encode(call_body([1]), NAME)
        except Exception as error:
            told = _reports(error)
            told += [type(error.args[0]).__name__]
        told += [message.msg + str(message.hint) for message in checks.check_settings(None)]
        told += [repr(run_checks(tags=["cereal_methods"], databases=[]))]

    assert "ImproperlyConfigured" in told
    assert [around(text) for text in told if MARK in text] == []


def test_celerys_report_of_settings_does_not_show_keys() -> None:
    with warnings.catch_warnings():  # it asks Django for settings that are deprecated, too
        warnings.simplefilter("ignore")
        told = [app.bugreport(), app.conf.humanize(with_defaults=True, censored=True)]

    assert [text for text in told if settings.SECRET_KEY in text] == []


def test_keys_are_not_logged(keys: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        decode(keys, NAME)
        unpack(*decode(encode(call_body([1]), NAME), NAME)[:2])

    assert MARK not in caplog.text


def test_signing_functions_do_not_keep_keys_in_local_variables() -> None:
    with override_settings(**KEYS):
        signing.verify(b"0" * 32, b"", b"content")
        shown = [repr(getattr(signing, name)) for name in vars(signing)]

    assert [text for text in shown if MARK in text] == []
    assert MARK not in repr(sys.modules[signing.__name__])
