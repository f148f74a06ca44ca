"""What a worker's consumer checks of a message's signature, before anything is decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from cereal_methods.exceptions import InvalidMessage, SignatureMismatch
from cereal_methods.running.bodies import error_in
from tests.shop.models import Order
from tests.shop.tasks import plain

Sent = Callable[[], list[Any]]


@pytest.fixture
def message(sent: Sent, order: Order) -> Any:
    """A signed message, with the headers that it was signed for."""
    order.ship.delay("dhl")
    (message,) = sent()
    return message


def test_a_message_with_its_own_headers_is_taken(message: Any) -> None:
    assert error_in(message, message.headers["task"]) is None


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ({"task": "shop.refund"}, "task"),
        ({"id": "another"}, "id"),
        ({"expires": "2030-01-01T00:00:00"}, "expires"),
        ({"task": "shop.refund", "id": "another"}, "task and id"),
    ],
)
def test_a_message_with_other_headers_is_refused(
    headers: dict[str, Any], names: str, message: Any
) -> None:
    message.headers.update(headers)

    error = error_in(message, message.headers["task"])

    assert type(error) is SignatureMismatch
    assert f"was signed for another {names}." in str(error)


def test_a_body_that_the_brokers_client_gives_as_text_is_compared(message: Any) -> None:
    # RabbitMQ's does so if the content_encoding of a message says latin-1.
    message.body = message.body.decode("latin-1")

    assert error_in(message, message.headers["task"]) is None
    message.headers["id"] = "another"
    assert type(error_in(message, message.headers["task"])) is SignatureMismatch


def test_headers_that_a_body_is_not_for_are_no_matter(message: Any) -> None:
    message.headers.update(retries=3, eta="2030-01-01T00:00:00", cereal_crashes=1)

    assert error_in(message, message.headers["task"]) is None


@pytest.mark.parametrize("garbage", [b"nonsense", b"[1,2]", b"[" * 5000, b'"a"'])
def test_what_cannot_be_read_is_refused_without_its_text(garbage: bytes, message: Any) -> None:
    call = message.payload[0].call
    start = call.body.index(b'"for":') + len(b'"for":')
    call.body = call.body[:start] + garbage

    error = error_in(message, message.headers["task"])

    assert type(error) is SignatureMismatch
    assert "was signed for another message." in str(error)


@pytest.mark.parametrize("is_required", [False, True])
def test_a_body_that_is_for_no_message_is_refused_if_the_settings_say_so(
    is_required: bool, message: Any
) -> None:
    call = message.payload[0].call
    call.body = call.body.replace(b'"for":', b'"was":')

    with override_settings(CEREAL_METHODS={"REQUIRE_BOUND": is_required}):
        error = error_in(message, message.headers["task"])

    assert (error is not None) is is_required
    if is_required:
        assert "REQUIRE_BOUND" in str(error)


@pytest.mark.parametrize("serializer", ["json", "cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_a_message_without_a_signature_is_refused_if_it_needs_one(
    serializer: str, sent: Sent, order: Order
) -> None:
    order.ship.apply_async(("dhl",), serializer=serializer)
    (message,) = sent()

    assert error_in(message, order.ship.name) is None
    error = error_in(message, order.ship.name, needs_signature=True)

    assert type(error) is InvalidMessage
    assert "REQUIRE_SIGNED" in str(error)


@override_settings(CEREAL_METHODS={"SIGN_ALL": True})
@pytest.mark.parametrize(
    "serializer", ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]
)
def test_a_signed_message_of_any_format_is_taken_and_compared(serializer: str, sent: Sent) -> None:
    plain.apply_async((5,), serializer=serializer)
    (message,) = sent()

    assert error_in(message, plain.name, needs_signature=True) is None
    message.headers["id"] = "another"
    assert type(error_in(message, plain.name)) is SignatureMismatch


@override_settings(CEREAL_METHODS={"SIGN_ALL": True})
@pytest.mark.parametrize("serializer", ["cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_a_signature_that_is_as_long_only_in_bytes_is_none(serializer: str, sent: Sent) -> None:
    plain.apply_async((5,), serializer=serializer)
    (message,) = sent()
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    line, _, blobs = body.partition(b"\n")
    message.body = line[:-66] + "\xe9".encode() * 32 + b'"}\n' + blobs

    error = error_in(message, plain.name, needs_signature=True)

    assert "REQUIRE_SIGNED" in str(error)


@override_settings(CEREAL_METHODS={"REQUIRE_SIGNED": True})
@pytest.mark.parametrize("name", ["callbacks", "errbacks", "chain", "chord"])
@pytest.mark.parametrize("in_headers", [False, True])
def test_what_an_unsigned_message_embeds_is_not_signed(
    in_headers: bool, name: str, sent: Sent
) -> None:
    plain.apply_async((5,), serializer="json")
    (message,) = sent()
    assert error_in(message, plain.name) is None
    signature = {"task": "shop.refund"} if name == "chord" else ["shop.refund"]
    canvas = {name: signature}
    message.headers.update(canvas if in_headers else {})
    message.body = json.dumps([[5], {}, {} if in_headers else canvas])
    message._decoded_cache = None

    error = error_in(message, plain.name)

    assert "REQUIRE_SIGNED" in str(error)


@pytest.mark.parametrize("name", ["callbacks", "errbacks", "chain"])
def test_a_canvas_in_the_headers_is_checked_as_the_one_in_the_body(name: str, sent: Sent) -> None:
    plain.apply_async((5,), serializer="json")
    (message,) = sent()
    message.headers[name] = [{"task": plain.name, "options": {"serializer": "cereal-pickle"}}]
    assert error_in(message, plain.name) is None  # which the body says is empty
    message.body = json.dumps([[5], {}, {}])
    message._decoded_cache = None

    assert "serializer='cereal-pickle'" in str(error_in(message, plain.name))


@pytest.mark.parametrize(
    ("content_type", "is_taken"), [("application/data", True), ("application/json", False)]
)
def test_celerys_own_signed_messages_are_signed(content_type: str, is_taken: bool) -> None:
    message = SimpleNamespace(
        content_type=content_type,
        headers={"task": plain.name, "id": "1"},
        payload=[[], {}, {}],
    )

    error = error_in(message, plain.name, needs_signature=True)

    assert (error is None) is is_taken
