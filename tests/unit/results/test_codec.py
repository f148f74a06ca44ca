"""Values of rows as text: as the result backend would encode them, and signed in journals."""

from __future__ import annotations

import threading
from typing import Any
from unittest import mock

import pytest
from celery.backends.cache import CacheBackend
from kombu.exceptions import EncodeError

from cereal_methods.results.codec import Codec, check_result, is_plain
from tests.celery import app
from tests.shop.models import Order

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["cereal-pickle", "cereal-json", "pickle", "cereal-msgpack"])
def codec(request: pytest.FixtureRequest) -> Codec:
    """The codec of a backend with each serializer."""
    return Codec(CacheBackend(app, backend="memory", serializer=request.param))


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "text", [1, "a", None]])
def test_plain_values_are_not_encoded(codec: Codec, value: Any) -> None:
    assert codec.encode(value) == value
    assert codec.decode(value) == value


@pytest.mark.parametrize(
    ("value", "plain"),
    [("é", False), ("a\0", False), (2**63, False), ([[1]], False), ({}, False), ([5], True)],
)
def test_plain_values_are_those_that_every_serializer_carries(value: Any, plain: bool) -> None:
    assert is_plain(value) is plain


def test_other_values_are_encoded(codec: Codec) -> None:
    entry = codec.encode({"é": [1, "ü"]})

    assert list(entry) in (["text"], ["bytes"])
    assert codec.decode(entry) == {"é": [1, "ü"]}


def test_instances_are_references() -> None:
    order = Order.objects.create(number="1")
    codec = Codec(app.backend)

    entry = codec.encode(order)
    Order.objects.update(number="2")

    assert codec.decode(entry).number == "2"


def test_values_that_the_backend_refuses_are_refused() -> None:
    with pytest.raises(Exception, match="lock"):
        Codec(app.backend).encode(threading.Lock())


class DjangoCacheBackend:
    """A backend that leaves values to its cache, which pickles them."""

    serializer = "pickle"

    def prepare_value(self, value: Any) -> Any:
        return value

    def encode(self, value: Any) -> Any:
        return value


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_a_cache_that_pickles_has_signed_values(
    serializer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DjangoCacheBackend, "serializer", serializer)
    codec = Codec(DjangoCacheBackend())

    entry = codec.encode({"a": {1}})

    assert list(entry) == ["bytes"]
    assert codec.decode(entry) == {"a": {1}}
    with pytest.raises(EncodeError):
        codec.encode({"a": threading.Lock()})


@pytest.mark.parametrize("reason", ["is_eager", "request", "task"])
def test_a_result_that_is_not_stored_is_not_checked(reason: str) -> None:
    task = mock.Mock(backend=app.backend, ignore_result=reason == "task")
    request = mock.Mock(is_eager=reason == "is_eager", ignore_result=reason == "request")

    check_result(task, request, threading.Lock())


def test_a_result_that_cannot_be_stored_is_an_error() -> None:
    task = mock.Mock(backend=app.backend, ignore_result=False)
    request = mock.Mock(is_eager=False, ignore_result=False)

    with pytest.raises(Exception, match="lock"):
        check_result(task, request, threading.Lock())
