"""What a signed body is for: its header line repeats headers of its message."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import chain, group
from celery.signals import before_task_publish
from django.test import override_settings
from kombu import Producer
from kombu.serialization import dumps

from cereal_methods.exceptions import SignatureMismatch
from cereal_methods.serializers.binding import binding
from cereal_methods.serializers.pickle import FORMAT as PICKLE
from cereal_methods.serializers.signing import has_signature
from tests.celery import app
from tests.shop.models import Order
from tests.shop.tasks import plain

Sent = Callable[[], list[Any]]

HEADERS = {"task": "shop.ship", "id": "1", "expires": None}
EMBED = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
SIGNED = override_settings(CEREAL_METHODS={"SIGN_ALL": True})


def header_of(message: Any) -> dict[str, Any]:
    body = message.body if isinstance(message.body, bytes) else message.body.encode()
    start = body.index(b'{"cereal"')
    header: dict[str, Any] = json.loads(body[start : body.index(b"\n", start)])
    return header


def bound_headers(message: Any) -> list[Any]:
    return [message.headers[name] for name in ("task", "id", "expires")]


def test_a_binding_is_the_task_the_id_and_the_expiry() -> None:
    assert json.loads(binding({**HEADERS, "task": 'a"b', "retries": 3})) == ['a"b', "1", None]
    assert json.loads(binding({**HEADERS, "expires": "2030-01-01"}))[2] == "2030-01-01"


@pytest.mark.parametrize(
    "send",
    [
        lambda order: order.ship.delay("dhl"),
        lambda order: order.ship.apply_async(("dhl",), task_id="mine"),
        lambda order: order.ship.apply_async(("dhl",), expires=datetime(2030, 1, 1, tzinfo=UTC)),
        lambda order: order.ship.apply_async(("dhl",), expires=60, countdown=5),
        lambda order: chain(order.ship.s("dhl"), order.ship.si("ups")).delay(),
        lambda order: group(order.ship.s("dhl"), order.ship.s("ups")).delay(),
        lambda order: Order.ship.bulk_delay([order, order], "dhl"),
        lambda order: plain.apply_async(serializer="cereal-pickle"),
        lambda order: app.send_task("elsewhere.task", serializer="cereal-pickle"),
    ],
)
def test_a_signed_body_is_for_its_message(send: Any, sent: Sent, order: Order) -> None:
    send(order)

    messages = sent()
    assert messages
    for message in messages:
        assert header_of(message)["for"] == bound_headers(message)


def test_a_body_has_the_headers_that_other_receivers_have_changed(sent: Sent, order: Order) -> None:
    def change(headers: Any = None, **kwargs: Any) -> None:
        headers["expires"] = "2031-01-01T00:00:00"

    before_task_publish.connect(change)
    try:
        order.ship.delay("dhl")
    finally:
        before_task_publish.disconnect(change)

    (message,) = sent()
    assert header_of(message)["for"] == bound_headers(message)
    assert message.headers["expires"] == "2031-01-01T00:00:00"


@pytest.mark.parametrize("serializer", ["cereal-pickle", "json"])
def test_a_receiver_may_send_a_message_of_its_own(
    serializer: str, sent: Sent, order: Order
) -> None:
    def send_more(sender: Any = None, **kwargs: Any) -> None:
        if sender != plain.name:
            plain.apply_async(serializer=serializer)

    before_task_publish.connect(send_more)
    try:
        order.ship.delay("dhl")
    finally:
        before_task_publish.disconnect(send_more)

    more, message = sent()
    assert header_of(message)["for"] == bound_headers(message)
    if serializer == "cereal-pickle":
        assert header_of(more)["for"] == bound_headers(more)


@pytest.mark.parametrize("serializer", ["cereal-pickle", "json"])
def test_a_receiver_may_send_several_messages(serializer: str, sent: Sent, order: Order) -> None:
    # Each of them is sent while that before it is published.
    names = [order.ship.name, "first", "second", "third"]

    def send_more(sender: Any = None, **kwargs: Any) -> None:
        for name in names[names.index(sender) + 1 :][:1] * 2:
            app.send_task(name, serializer=serializer)

    before_task_publish.connect(send_more)
    try:
        order.ship.delay("dhl")
    finally:
        before_task_publish.disconnect(send_more)

    *more, message = sent()
    assert len(more) == 2 + 4 + 8
    assert header_of(message)["for"] == bound_headers(message)
    for each in more if serializer == "cereal-pickle" else ():
        assert header_of(each)["for"] == bound_headers(each)


def test_a_body_that_is_encoded_again_is_for_the_same_message(
    sent: Sent, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Celery does if it could not publish a callback.
    publish = Producer.publish

    def publish_twice(*args: Any, **kwargs: Any) -> Any:
        publish(*args, **kwargs)
        return publish(*args, **kwargs)

    monkeypatch.setattr(Producer, "publish", publish_twice)

    order.ship.delay("dhl")

    messages = sent()
    assert len(messages) == 2
    for message in messages:
        assert header_of(message)["for"] == bound_headers(message)


def test_a_body_that_celery_does_not_publish_is_for_no_message(order: Order) -> None:
    order.ship.delay("dhl")  # whose headers are not taken for another body

    _, _, body = dumps(((), {"this": order}, EMBED), "cereal-pickle")

    assert b'"for"' not in body


def test_a_body_that_is_not_signed_does_not_say_what_it_is_for(sent: Sent, order: Order) -> None:
    order.ship.apply_async(("dhl",), serializer="cereal-json")

    (message,) = sent()
    assert "for" not in header_of(message)


@SIGNED
@pytest.mark.parametrize("with_row", [True, False])
def test_the_other_formats_are_signed_if_the_settings_say_so(
    with_row: bool, name: str, sent: Sent, order: Order
) -> None:
    plain.apply_async((order if with_row else 5,), serializer=name)

    (message,) = sent()
    assert header_of(message)["for"] == bound_headers(message)
    call = message.payload[0].call
    assert call.frame().is_signed
    assert call.error is None


@SIGNED
def test_results_are_not_signed_under_the_other_formats() -> None:
    assert dumps({"result": 5}, "cereal-json")[2] == '{"result": 5}'


@SIGNED
def test_a_changed_body_does_not_match_its_signature(sent: Sent, order: Order) -> None:
    order.ship.apply_async(("dhl",), serializer="cereal-json")
    (message,) = sent()
    call = message.payload[0].call
    position = call.body.index(b'"signature":"') + len(b'"signature":"')
    digit = b"0" if call.body[position : position + 1] != b"0" else b"1"

    for body in (
        call.body.replace(b"dhl", b"ups"),
        call.body.replace(b'"this":0', b'"this":1'),
        call.body[:position] + digit + call.body[position + 1 :],
        call.body[:position] + b"g" + call.body[position + 1 :],
    ):
        assert body != call.body
        changed = type(call)(call.decoder, body)
        assert not changed.frame().is_signed
        assert type(changed.error) is SignatureMismatch


@SIGNED
@pytest.mark.parametrize("text", ["\xe9" * 32, "\ud800" * 64], ids=["of-two-bytes", "surrogates"])
def test_a_signature_of_other_characters_is_none(text: str, sent: Sent, order: Order) -> None:
    order.ship.apply_async(("dhl",), serializer="cereal-json")
    (message,) = sent()
    call = message.payload[0].call
    line, _, blobs = call.body.decode().partition("\n")
    body = f'{line[:-66]}{text}"}}\n{blobs}'

    changed = type(call)(call.decoder, body)

    assert not has_signature(body.partition("\n")[0])
    assert not has_signature(body.partition("\n")[0].encode("utf-8", "surrogatepass"))
    assert not changed.frame().is_signed


@SIGNED
def test_a_line_that_utf_8_cannot_carry_has_no_signature_of_ours(sent: Sent, order: Order) -> None:
    order.ship.apply_async(("dhl",), serializer="cereal-json")
    (message,) = sent()
    call = message.payload[0].call
    body = call.body.decode().replace('"this":', '"\ud800":')

    changed = type(call)(call.decoder, body)

    assert not changed.frame().is_signed
    assert type(changed.error) is SignatureMismatch


@pytest.mark.parametrize("signs_all", [False, True])
def test_a_signed_body_can_be_signed_for_another_message(
    signs_all: bool, name: str, sent: Sent, order: Order
) -> None:
    with override_settings(CEREAL_METHODS={"SIGN_ALL": signs_all}):
        order.ship.apply_async(("dhl",), serializer=name)
        (message,) = sent()
    call = message.payload[0].call
    sent_arguments = call.sent_arguments()

    body = call.decoder.bound_again(call.body, binding({**HEADERS, "id": "2"}))

    if not (signs_all or name.endswith("pickle")):
        assert body == call.body
        return
    other = type(call)(call.decoder, body)
    assert other.sent_arguments() == sent_arguments
    assert other.frame().is_signed
    text = body if isinstance(body, bytes) else body.encode()
    assert b'"for":["shop.ship","2",null]' in text


def test_a_forged_body_is_not_signed_for_another_message(sent: Sent, order: Order) -> None:
    order.ship.delay("dhl")
    (message,) = sent()
    call = message.payload[0].call
    forged = call.body.replace(b"dhl", b"ups")

    with pytest.raises(SignatureMismatch):
        call.decoder.bound_again(forged, binding(HEADERS))


def test_a_body_of_protocol_1_is_not_remembered(order: Order) -> None:
    before_task_publish.send(sender="shop.ship", body={"id": "1"}, headers={})

    _, _, body = dumps(((), {"this": order}, EMBED), "cereal-pickle")

    assert b'"for"' not in body


def test_a_body_that_is_not_bound_is_not_bound_again(order: Order) -> None:
    _, _, body = dumps(((), {"this": order}, EMBED), "cereal-pickle")

    assert PICKLE.bound_again(body, binding(HEADERS)) == body
