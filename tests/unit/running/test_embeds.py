"""A worker does not sign the signatures that an unsigned message embeds."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from kombu.serialization import registry

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage
from cereal_methods.running.bodies import error_in
from cereal_methods.running.embed import check_embed

from ..bodies import call_body, consume, encode, unpack
from .test_envelopes import NAME, message

CALL = {"task": "shop.next", "args": [1], "kwargs": {}}
SIGNED: dict[str, Any] = {**CALL, "options": {"serializer": "cereal-pickle"}}
PLAIN: dict[str, Any] = {**CALL, "options": {"serializer": "cereal-json"}}
WITHIN: dict[str, Any] = {
    "callbacks": [SIGNED],
    "errbacks": [PLAIN, SIGNED],
    "chain": [PLAIN, {"task": "celery.group", "kwargs": {"tasks": [SIGNED]}, "options": {}}],
    "chord": SIGNED,
}
DEEP: list[dict[str, Any]] = [
    {"chord": {"task": "celery.chord", "kwargs": {"header": [PLAIN], "body": SIGNED}}},
    {"callbacks": [{**PLAIN, "options": {"link": [SIGNED]}}]},
    {"callbacks": [{**PLAIN, "options": {"serializer": "django_cereal_pickle"}}]},
    {"callbacks": [{**PLAIN, "options": {"serializer": "pickle"}}]},
]
ORDER = ModelReference("shop.Order", 5, "default")
TEXT = (
    "The message is not signed, and embeds a signature that is to be sent with "
    "serializer='cereal-pickle'. Send the first task of the canvas with that serializer too, or "
    "leave the option out."
)


@pytest.mark.parametrize("embed", [{name: WITHIN[name]} for name in WITHIN] + DEEP, ids=str)
@pytest.mark.parametrize("name", ["cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_an_unsigned_message_that_asks_for_a_signature_fails(name: str, embed: Any) -> None:
    args, kwargs, embedded = consume(encode(call_body([ORDER], **embed), name), name)

    assert not any(dict(embedded).values())
    with pytest.raises(InvalidMessage, match="is not signed, and embeds"):
        unpack(args, kwargs)


@pytest.mark.parametrize("embed", [{name: WITHIN[name]} for name in WITHIN] + DEEP, ids=str)
@pytest.mark.parametrize("name", ["json", "cereal-json"])
def test_a_consumer_refuses_an_embed_that_asks_for_a_signature(name: str, embed: Any) -> None:
    received = message(json.dumps(call_body([1], **embed)))
    received.content_type = registry.name_to_type[name]

    assert "is not signed, and embeds" in str(error_in(received, NAME))


@pytest.mark.parametrize(
    "args", [[[SIGNED], "id", "group", []], [[PLAIN], SIGNED], [[ORDER, SIGNED]]]
)
def test_arguments_of_celerys_tasks_cannot_ask_for_a_signature(args: Any) -> None:
    received = message(encode(call_body(args), "cereal-json"))
    received.content_type = registry.name_to_type["cereal-json"]

    assert "is not signed, and embeds" in str(error_in(received, "celery.group"))
    assert error_in(received, NAME) is None  # to whom they are arguments


def test_the_error_says_what_to_do() -> None:
    with pytest.raises(InvalidMessage) as caught:
        check_embed({"callbacks": [SIGNED]}, is_signed=False)

    assert str(caught.value) == TEXT


@pytest.mark.parametrize("embed", [{name: WITHIN[name]} for name in WITHIN], ids=str)
def test_a_signed_message_may_ask_for_signatures(embed: Any) -> None:
    _, _, embedded = consume(encode(call_body([1], **embed), "cereal-pickle"), "cereal-pickle")

    assert {name: value for name, value in dict(embedded).items() if value} == embed


@pytest.mark.parametrize("name", ["cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_an_unsigned_message_may_embed_signatures(name: str) -> None:
    payload = encode(call_body([1], callbacks=[PLAIN], chain=[{**PLAIN, "options": {}}]), name)

    assert consume(payload, name)[2]["callbacks"] == [PLAIN]


@pytest.mark.parametrize(
    "embed",
    [
        {"callbacks": 5},
        {"errbacks": "x"},
        {"chain": {"a": 1}},
        {"chord": [1]},
        {5: 1},
    ],
    ids=str,
)
def test_an_embed_that_celery_could_not_read_is_refused(embed: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        check_embed(embed, is_signed=True)

    assert str(caught.value) == "The message embeds something that is not a canvas."


def test_a_message_that_embeds_something_else_than_signatures_fails() -> None:
    payload = encode(call_body([ORDER], callbacks=[CALL]), "cereal-json")
    damaged = payload.replace('"callbacks"', '"callbackz"')

    args, kwargs, embedded = consume(damaged, "cereal-json")

    assert not any(dict(embedded).values())
    with pytest.raises(InvalidMessage, match=r"embeds something that is not a canvas\.$"):
        unpack(args, kwargs)


@pytest.mark.parametrize("name", ["cereal-pickle", "cereal-json"])
def test_a_consumer_leaves_the_embed_beside_rows_to_the_task(name: str) -> None:
    received = message(encode(call_body([ORDER], callbacks=[SIGNED]), name))
    received.content_type = registry.name_to_type[name]
    received.content_encoding = "utf-8" if name == "cereal-json" else "binary"
    received.accept = {received.content_type}

    decoder = received.payload[0].call.decoder

    with mock.patch.object(type(decoder), "decode") as decode:
        assert error_in(received, NAME) is None

    decode.assert_not_called()


def test_a_time_limit_that_strikes_while_an_embed_is_read_is_raised() -> None:
    args, _, embedded = consume(
        encode(call_body([ORDER], callbacks=[CALL]), "cereal-json"), "cereal-json"
    )

    with (
        mock.patch.object(type(args.call.decoder), "decode", side_effect=SoftTimeLimitExceeded),
        pytest.raises(SoftTimeLimitExceeded),
    ):
        embedded["callbacks"]

    assert embedded["callbacks"] == [CALL]


def test_an_empty_embed_is_a_canvas() -> None:
    check_embed({}, is_signed=False)
    check_embed(None, is_signed=True)
