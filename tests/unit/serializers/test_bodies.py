"""Bodies that are damaged, or that another program wrote."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from kombu.exceptions import DecodeError

from cereal_methods.exceptions import InvalidMessage, UnknownVersion
from cereal_methods.rows.reference import ModelReference
from cereal_methods.running.arguments import LazyArgs
from tests.shop.models import Order

from ..bodies import (
    FORMATS,
    NO_EMBED,
    call_body,
    consume,
    decode,
    encode,
    stored,
    unpack,
)

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.fixture(params=FORMATS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each format in turn, which some errors quote."""
    name: str = request.param
    return name


@pytest.fixture
def unsealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let changed bodies of cereal-pickle pass the check of their signature."""
    monkeypatch.setattr("cereal_methods.serializers.pickle.verify", lambda *args: True)


def with_header(name: str, header: dict[str, Any], rest: Any = None) -> Any:
    """Return the payload of a call with another header, which has no references of its own.

    That is what earlier versions wrote of every call.
    """
    payload = encode(call_body(["dhl"], {"this": stored(Order, pk=5)}), name)
    text = payload if isinstance(payload, str) else payload.decode("latin-1")
    start = text.index('{"cereal"')
    line, _, blob = text[start:].partition("\n")
    changed = {**json.loads(line), **header}
    for key in {"refs", "this"} - header.keys():
        del changed[key]
    written = json.dumps(changed, separators=(",", ":"))
    text = f"{text[:start]}{written}\n{blob if rest is None else rest}"
    return text if isinstance(payload, str) else text.encode("latin-1")


def outcome(payload: Any, name: str) -> Any:
    """Return what becomes of a payload: arguments, or the error that it ends in."""
    try:
        body = consume(payload, name)
    except DecodeError as error:
        return error.args[0]
    try:
        args, kwargs, embed = body
        arguments = unpack(args, kwargs)
        return arguments, dict(embed or {})
    except InvalidMessage as error:
        return error


BODIES: dict[str, Any] = {
    "call": lambda order: call_body(["dhl", order], {"express": True, "orders": [order]}),
    "call of a method": lambda order: call_body(["dhl"], {"this": order}),
    "call without instances": lambda order: call_body(["dhl"], {"express": True}),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_call_cut_short_at_any_byte_is_an_invalid_message(name: str, kind: str) -> None:
    order = Order.objects.create()
    payload = encode(BODIES[kind](order), name)
    whole = outcome(payload, name)

    assert not isinstance(whole, Exception)
    for length in range(1, len(payload)):
        result = outcome(payload[:length], name)
        if kind == "call without instances" and name == "cereal-yaml":
            if not isinstance(result, InvalidMessage):  # as to kombu's, it is YAML as well
                args, kwargs, embed = decode(payload[:length], "yaml")
                assert result == ((tuple(args), kwargs), embed or {}), payload[:length]
        else:
            assert isinstance(result, InvalidMessage), payload[:length]


@pytest.mark.parametrize("kind", BODIES)
def test_a_call_cut_short_is_an_invalid_message_to_a_holder_of_the_key(
    kind: str, unsealed: None
) -> None:
    name = "cereal-pickle"
    payload = encode(BODIES[kind](Order.objects.create()), name)

    for length in range(1, len(payload)):
        assert isinstance(outcome(payload[:length], name), InvalidMessage), payload[:length]


def test_a_call_cut_short_in_its_embed_fails_or_embeds_nothing_less(
    name: str, unsealed: None
) -> None:
    order = Order.objects.create()
    link = {"task": "tests.next", "args": [order], "kwargs": {"a": "b"}}
    payload = encode(call_body([order], callbacks=[link], errbacks=[link]), name)
    whole = outcome(payload, name)

    for length in range(1, len(payload)):
        args, kwargs, embed = [], {}, {}
        try:
            args, kwargs, embed = consume(payload[:length], name)
            dict(embed)  # as Celery does before the task begins
            parts = unpack(args, kwargs), dict(embed)
        except (DecodeError, InvalidMessage):
            continue
        assert parts == whole, payload[:length]


@pytest.mark.parametrize("result", [{"status": "SUCCESS", "result": ["dhl"]}, [1, {"a": "b"}]])
def test_a_result_cut_short_at_any_byte_is_an_invalid_message(
    name: str, result: Any, unsealed: None
) -> None:
    payload = encode(result, name)

    for length in range(1, len(payload)):
        try:
            decoded = decode(payload[:length], name)
        except DecodeError as error:
            assert isinstance(error.args[0], InvalidMessage)  # noqa: PT017
        else:  # text that ends early is YAML in many places
            same = result if name != "cereal-yaml" else decode(payload[:length], "yaml")
            assert decoded == same, payload[:length]


def test_arguments_that_end_early_fail_in_the_task(name: str, unsealed: None) -> None:
    payload = with_header(name, {})

    args, kwargs, embed = decode(payload[:-1], name)

    assert embed == NO_EMBED
    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == (
        "The message is damaged: its body is shorter or longer than its header says."
    )
    assert repr((args, kwargs)) == "(('<unreadable message>',), {})"


def test_a_body_with_half_a_header_is_refused_when_it_is_decoded(name: str, unsealed: None) -> None:
    payload = with_header(name, {})
    headless = payload[: payload.index('"call"' if isinstance(payload, str) else b'"call"')]

    with pytest.raises(DecodeError) as caught:
        decode(headless, name)

    assert type(caught.value.args[0]) is InvalidMessage
    assert str(caught.value) == (
        f"The message is not a {name} body, or it is truncated: it has no header."
    )


def test_a_call_whose_header_is_truncated_fails_in_the_task(name: str, unsealed: None) -> None:
    payload = with_header(name, {})
    call = '"call":' if isinstance(payload, str) else b'"call":'

    args, kwargs, _ = decode(payload[: payload.index(call) + len(call)], name)

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == (
        f"The message is not a {name} body, or it is truncated: it has no header."
    )


@pytest.mark.parametrize("name", ["cereal-json", "cereal-yaml"])
def test_bytes_that_are_not_text_are_refused(name: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(b"\xff\xfe\n", name)

    assert str(caught.value) == f"The message is not a {name} body."
    assert type(caught.value.args[0]) is InvalidMessage


@pytest.mark.parametrize("name", ["cereal-json", "cereal-yaml"])
def test_a_body_of_text_is_read_from_bytes_too(name: str) -> None:
    payload = encode(call_body(["größe"]), name)

    args, kwargs, _ = decode(payload.encode(), name)

    assert unpack(args, kwargs) == (("größe",), {})


@pytest.mark.parametrize("name", ["cereal-pickle", "cereal-msgpack"])
def test_a_binary_body_is_read_from_any_buffer(name: str) -> None:
    payload = encode(call_body(["dhl"]), name)

    for buffer in (bytearray(payload), memoryview(payload), payload.decode("latin-1")):
        args, kwargs, _ = decode(buffer, name)
        assert unpack(args, kwargs) == (("dhl",), {})


def test_a_newer_version_fails_in_the_task(name: str, unsealed: None) -> None:
    args, kwargs, embed = decode(with_header(name, {"cereal": 2}), name)

    assert embed == NO_EMBED
    with pytest.raises(UnknownVersion) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == (
        f"The message has version 2 of the {name} format, and this process reads version 1. Deploy "
        "the workers before the senders."
    )
    assert caught.value.about == 2


@pytest.mark.parametrize(
    "header",
    [
        {"refs": {}},
        {"refs": "x"},
        {"call": -1},
        {"call": "5"},
        {"call": 1.5},
        {"call": True},
        {"fetch": 1},
        {"fetch": -1},
        {"this": 0},
        {"this": -1},
        {"refs": [["shop.Order", 5, "default"]], "fetch": 0, "this": 0},
        {"mark": 5},
        {"mark": None},
    ],
    ids=json.dumps,
)
def test_a_header_that_contradicts_itself_fails_in_the_task(
    name: str, header: dict[str, Any], unsealed: None
) -> None:
    args, kwargs, _ = decode(with_header(name, header), name)

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == f"The header of a {name} message contradicts itself."


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (5, "The message holds a malformed reference."),
        (["shop.Order", 5], "The message holds a malformed reference."),
        (["shop.Order", 1.5, "default"], "The message holds a primary key that cannot be read."),
    ],
)
def test_a_reference_that_cannot_be_read_fails_in_the_task(
    name: str, reference: Any, message: str, unsealed: None
) -> None:
    args, kwargs, embed = decode(with_header(name, {"refs": [reference]}), name)

    assert embed == NO_EMBED
    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == message
    assert repr(args) == "('<unreadable message>',)"


@pytest.mark.parametrize("version", [0, 1.5, 10**20, 2])
def test_another_version_fails_in_the_task(name: str, version: Any, unsealed: None) -> None:
    args, kwargs, _ = decode(with_header(name, {"cereal": version}), name)

    with pytest.raises(UnknownVersion):
        unpack(args, kwargs)


@pytest.mark.parametrize("version", ["1", None, [], {}, -1])
def test_a_version_of_another_kind_is_refused(name: str, version: Any, unsealed: None) -> None:
    error = outcome(with_header(name, {"cereal": version}), name)

    assert isinstance(error, InvalidMessage)


@pytest.mark.parametrize(
    "blob",
    ["", "5", "[]", "[1]", '["dhl"]', '[["dhl"]]', '[["dhl"],{},{}]', '[["dhl"],5]', "{}", "null"],
)
def test_a_blob_without_arguments_fails_in_the_task(blob: str) -> None:
    payload = with_header("cereal-json", {"call": len(blob)}, blob)

    args, kwargs, _ = decode(payload, "cereal-json")

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert re.fullmatch(
        r"The arguments of a message cannot be read: \w+\. Either the message was damaged on "
        r"its way, or this process does not have a class that it contains\.",
        str(caught.value),
    )


@pytest.mark.parametrize("place", ["1", "-1", '"0"', "null", "0.0", "[0]"])
def test_a_place_without_a_reference_fails_in_the_task(place: str) -> None:
    blob = f'[[{{"$ref":{place}}}],{{}}]'
    payload = with_header(
        "cereal-json", {"call": len(blob), "refs": [["shop.Order", 5, "default"]]}, blob
    )
    Order.objects.create(pk=5)

    assert isinstance(outcome(payload, "cereal-json"), InvalidMessage)


def test_any_changed_byte_gives_a_value_or_an_error_of_decoding(name: str) -> None:
    payload = encode(call_body(["dhl", stored(Order, pk=5)], {"a": [1, "b"]}), name)

    for at in range(len(payload)):
        for other in ("x", "[", "0", "\n", '"'):
            if isinstance(payload, str):
                changed: Any = payload[:at] + other + payload[at + 1 :]
            else:
                changed = payload[:at] + other.encode() + payload[at + 1 :]
            try:
                body = decode(changed, name)
            except DecodeError:
                continue
            assert repr(body)
            if isinstance(body, tuple) and body and isinstance(body[0], LazyArgs):
                with contextlib.suppress(InvalidMessage):
                    body[0].call.lazy_arguments()


@pytest.mark.parametrize("embed", ["[[1,2]]", "{}{}", '{"x":1}', "5", '"abc"'])
def test_an_embed_that_is_not_a_canvas_fails_in_the_task(embed: str) -> None:
    payload = '{"cereal":1,"call":7,"embed":%d}\n[[],{}]%s' % (len(embed), embed)  # noqa: UP031

    args, kwargs, result = decode(payload, "cereal-json")

    assert dict(result) == NO_EMBED
    with pytest.raises(InvalidMessage):
        unpack(args, kwargs)


@pytest.mark.parametrize("name", FORMATS)
def test_a_worker_gets_three_parts_whatever_a_header_says(name: str) -> None:
    for payload in (with_header(name, {"eager": 1}), with_header(name, {"eager": 1, "call": 99})):
        args, kwargs, embed = decode(payload, name)
        assert embed == NO_EMBED
        with contextlib.suppress(InvalidMessage):
            unpack(args, kwargs)


def test_self_arrives_when_the_task_is_sent_by_name(name: str) -> None:
    order = stored(Order, pk=5)

    _, kwargs, _ = decode(encode(call_body(["dhl"], {"this": order}), name), name)

    assert kwargs.call.frame().this == 0
    assert kwargs.own_reference == ModelReference.of(order)
