"""Errors as text, and in the form of result backends."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import pytest

from cereal_methods.results.endings import Discarded, discard_reason
from cereal_methods.results.errors import encode_exception, error_text
from tests.celery import app


class Unspeakable(Exception):
    def __init__(self, error: type[BaseException] = GeneratorExit) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb\x00c\r\n d"), "ValueError: a b c d"),
        (ValueError("x" * 5000), "ValueError: " + "x" * 997 + "..."),
        (ValueError("\ud800"), "ValueError: "),
        (Unspeakable(), "Unspeakable: its text cannot be made, __str__ raised GeneratorExit"),
    ],
)
def test_texts_of_errors_are_one_line_and_cannot_fail(error: Exception, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_exceptions_that_end_a_process_are_not_caught(kind: type[BaseException]) -> None:
    with pytest.raises(kind):
        error_text(Unspeakable(kind))
    backend = mock.Mock(**{"prepare_exception.side_effect": kind})
    with pytest.raises(kind):
        encode_exception(ValueError("no"), backend)


def test_an_exception_has_the_form_of_result_backends() -> None:
    encoded = encode_exception(ValueError("no"), app.backend)

    assert encoded == {
        "exc_type": "ValueError",
        "exc_message": ("no",),
        "exc_module": "builtins",
    }


@pytest.mark.parametrize("failure", [TypeError, GeneratorExit])
def test_an_exception_that_the_backend_cannot_encode_has_its_text(failure: Any) -> None:
    backend = mock.Mock(**{"prepare_exception.side_effect": failure})

    encoded = encode_exception(ValueError("no"), backend)

    assert encoded == {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}


def test_a_discarded_task_has_a_reason() -> None:
    reason = ValueError("no")

    assert discard_reason(Discarded(reason)) is reason
    assert discard_reason(reason) is reason


def test_a_discarded_task_crosses_its_pool_s_pipe() -> None:
    assert str(pickle.loads(pickle.dumps(Discarded(ValueError("no"))))) == "no"
