"""Signatures of cereal-pickle bodies."""

from __future__ import annotations

import hmac
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from kombu.exceptions import DecodeError

from cereal_methods.exceptions import InvalidMessage, SignatureMismatch, UnknownVersion
from cereal_methods.serializers import signing
from tests.shop.models import Order

from ..bodies import call_body, decode, encode, stored, unpack
from ..values import Trap

NAME = "cereal-pickle"
MISMATCH = (
    "The signature of a cereal-pickle message does not match, so the message was not read. It was "
    "changed on its way, sent by someone without the key, or signed with a key that is neither "
    "SECRET_KEY (or CEREAL_METHODS['SIGNING_KEY']) nor one of its fallbacks here. Compare the keys "
    "of sender and worker, and check who can write to the broker."
)


@pytest.fixture(autouse=True)
def trap() -> Iterator[list[str]]:
    """What was unpickled."""
    Trap.sprung.clear()
    yield Trap.sprung
    Trap.sprung.clear()


def read(payload: bytes) -> Any:
    """Return what a task gets of a payload."""
    args, kwargs, _ = decode(payload, NAME)
    return unpack(args, kwargs)


def is_refused(payload: bytes) -> bool:
    """Tell whether a payload's signature is refused."""
    try:
        read(payload)
    except SignatureMismatch:
        return True
    return False


def test_a_body_arrives_that_was_signed_with_the_same_key() -> None:
    assert read(encode(call_body(["dhl"]), NAME)) == (("dhl",), {})


def test_a_body_is_refused_that_was_signed_with_another_key() -> None:
    with override_settings(SECRET_KEY="another"):
        payload = encode(call_body([Trap("it")]), NAME)

    args, kwargs, _ = decode(payload, NAME)

    with pytest.raises(SignatureMismatch) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == MISMATCH
    assert Trap.sprung == []


def test_a_result_is_refused_that_was_signed_with_another_key() -> None:
    with override_settings(SECRET_KEY="another"):
        payload = encode({"status": "SUCCESS", "result": Trap("it")}, NAME)

    with pytest.raises(DecodeError) as caught:
        decode(payload, NAME)

    assert type(caught.value.args[0]) is SignatureMismatch
    assert str(caught.value) == MISMATCH
    assert Trap.sprung == []


def test_an_embed_of_a_refused_body_is_not_read() -> None:
    with override_settings(SECRET_KEY="another"):
        payload = encode(call_body([1], callbacks=[Trap("it")]), NAME)

    _, _, embed = decode(payload, NAME)

    assert embed["callbacks"] is None
    assert Trap.sprung == []


@pytest.mark.parametrize(
    "body",
    [
        call_body([Trap("args"), stored(Order, pk=5)], {"a": Trap("kwargs")}, chain=[Trap("it")]),
        {"status": "SUCCESS", "result": Trap("result")},
    ],
    ids=["call", "result"],
)
def test_a_body_with_any_bit_changed_is_never_unpickled(body: Any) -> None:
    payload = encode(body, NAME)

    for at in range(len(payload)):
        for bit in range(8):
            changed = bytearray(payload)
            changed[at] ^= 1 << bit
            try:
                args, kwargs, embed = decode(bytes(changed), NAME)
            except DecodeError as error:
                assert isinstance(error.args[0], InvalidMessage)  # noqa: PT017
                continue
            repr((args, kwargs, embed))
            assert dict(embed)["chain"] is None
            with pytest.raises(InvalidMessage):
                unpack(args, kwargs)

    assert Trap.sprung == []


def test_a_body_that_was_not_changed_is_unpickled() -> None:
    read(encode(call_body([Trap("it")]), NAME))

    assert Trap.sprung == ["it"]


def test_decoding_unpickles_nothing() -> None:
    decode(encode(call_body([Trap("args")], chain=[Trap("chain")]), NAME), NAME)

    assert Trap.sprung == []


def test_the_contents_of_another_body_cannot_be_moved_over() -> None:
    one, two = (encode(call_body([value]), NAME) for value in ("dhl", "ups"))

    assert is_refused(one[:33] + two[33:])


def test_a_forged_body_is_never_unpickled() -> None:
    blob = pickle.dumps(((Trap("it"),), {}))
    header = b'{"cereal":1,"call":%d}\n' % len(blob)

    assert is_refused(b"\x01" + b"\x00" * 32 + header + blob)
    assert Trap.sprung == []


def test_a_plain_pickle_is_not_a_body() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(pickle.dumps(((Trap("it"),), {}, {})), NAME)

    assert str(caught.value) == "The message is not a cereal-pickle body."
    assert Trap.sprung == []


def test_a_newer_version_byte_is_refused_with_its_number() -> None:
    payload = b"\x02" + encode(call_body([Trap("it")]), NAME)[1:]

    args, kwargs, _ = decode(payload, NAME)

    with pytest.raises(UnknownVersion) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == (
        "The message has version 2 of cereal-pickle, and this process reads version 1. Deploy "
        "the workers before the senders."
    )
    assert caught.value.about == 2
    assert Trap.sprung == []


def test_a_newer_version_of_the_header_is_refused_although_it_is_signed() -> None:
    content = encode(call_body([1]), NAME)[33:].replace(b'"cereal":1', b'"cereal":2')
    payload = b"\x01" + signing.sign(b"\x01", content) + content

    args, kwargs, _ = decode(payload, NAME)

    with pytest.raises(UnknownVersion) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == (
        "The message has version 2 of the cereal-pickle format, and this process reads version 1. "
        "Deploy the workers before the senders."
    )


def test_signing_key_signs() -> None:
    with override_settings(CEREAL_METHODS={"SIGNING_KEY": "its own"}):
        payload = encode(call_body([1]), NAME)
        assert read(payload) == ((1,), {})

    assert is_refused(payload)


def test_signing_key_replaces_the_secret_key() -> None:
    payload = encode(call_body([1]), NAME)

    with override_settings(CEREAL_METHODS={"SIGNING_KEY": "its own"}):
        assert is_refused(payload)


def test_a_fallback_of_the_secret_key_verifies() -> None:
    payload = encode(call_body([1]), NAME)

    with override_settings(
        SECRET_KEY="new", SECRET_KEY_FALLBACKS=["older", "the key of the tests"]
    ):
        assert read(payload) == ((1,), {})


def test_a_fallback_of_signing_key_verifies() -> None:
    with override_settings(CEREAL_METHODS={"SIGNING_KEY": "old"}):
        payload = encode(call_body([1]), NAME)

    with override_settings(
        CEREAL_METHODS={"SIGNING_KEY": "new", "SIGNING_KEY_FALLBACKS": ["older", b"old"]}
    ):
        assert read(payload) == ((1,), {})


def test_fallbacks_of_the_secret_key_verify_beside_signing_key() -> None:
    payload = encode(call_body([1]), NAME)

    with override_settings(
        CEREAL_METHODS={"SIGNING_KEY": "new"}, SECRET_KEY_FALLBACKS=["the key of the tests"]
    ):
        assert read(payload) == ((1,), {})


def test_signing_key_fallbacks_replace_those_of_the_secret_key() -> None:
    payload = encode(call_body([1]), NAME)

    with override_settings(
        CEREAL_METHODS={"SIGNING_KEY": "new", "SIGNING_KEY_FALLBACKS": []},
        SECRET_KEY_FALLBACKS=["the key of the tests"],
    ):
        assert is_refused(payload)


def test_a_fallback_does_not_sign() -> None:
    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["the key of the tests"]):
        payload = encode(call_body([1]), NAME)

    assert is_refused(payload)


def test_keys_of_text_and_of_bytes_are_the_same() -> None:
    with override_settings(CEREAL_METHODS={"SIGNING_KEY": "schlüssel"}):
        payload = encode(call_body([1]), NAME)

    with override_settings(CEREAL_METHODS={"SIGNING_KEY": "schlüssel".encode()}):
        assert read(payload) == ((1,), {})


def test_the_key_is_not_used_as_it_is() -> None:
    content = b"content"

    assert signing.sign(b"", content) != hmac.digest(b"the key of the tests", content, "sha256")


def test_a_signature_is_of_32_bytes_of_hmac_sha256_by_a_derived_key() -> None:
    key = hmac.digest(b"the key of the tests", b"cereal_methods.serializers.pickle", "sha256")

    assert signing.sign(b"con", b"tent") == hmac.digest(key, b"content", "sha256")
    assert signing.SIZE == 32


@pytest.mark.parametrize("keys", [{"SIGNING_KEY": "the-secret-one", "SIGNING_KEY_FALLBACKS": 5}])
def test_errors_do_not_quote_keys(keys: dict[str, Any]) -> None:
    with (
        override_settings(CEREAL_METHODS=keys),
        pytest.raises(ImproperlyConfigured) as caught,
    ):
        signing.sign(b"", b"content")

    assert str(caught.value) == "CEREAL_METHODS['SIGNING_KEY_FALLBACKS'] must be a list of strings."


def test_a_mismatch_does_not_quote_keys() -> None:
    keys = {"SIGNING_KEY": "the-secret-one", "SIGNING_KEY_FALLBACKS": ["the-secret-two"]}
    payload = encode(call_body([1]), NAME)

    with (
        override_settings(CEREAL_METHODS=keys, SECRET_KEY="the-secret-three"),
        pytest.raises(SignatureMismatch) as caught,
    ):
        read(payload)

    assert "the-secret" not in str(caught.value)
    assert "the-secret" not in repr(vars(caught.value))
