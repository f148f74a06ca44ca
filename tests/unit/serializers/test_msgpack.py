"""cereal-msgpack: what kombu's msgpack carries, and references as extension types."""

from __future__ import annotations

import sys
from typing import Any

import msgpack
import pytest
from kombu.exceptions import EncodeError, SerializerNotInstalled

from cereal_methods.exceptions import InvalidMessage
from tests.shop.models import Order

from ..bodies import NO_EMBED, call_body, consume, decode, encode, refusal, stored, trip, unpack
from ..interpreters import import_without

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.mark.parametrize(
    "value", [{1: "a", "b": 2}, b"\x00\xff", 2**63, -(2**63), 1.5, None, True, [[]]], ids=repr
)
def test_values_of_kombus_msgpack_arrive_unchanged(value: Any) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip("cereal-msgpack", [value, order])

    (arrived, row), _ = unpack(args, kwargs)

    assert arrived == value
    assert type(arrived) is type(value)
    assert row == order


def test_a_tuple_arrives_as_a_list() -> None:
    args, kwargs, _ = trip("cereal-msgpack", [(1, (2,))])

    assert unpack(args, kwargs) == (([1, [2]],), {})


def test_a_number_that_is_too_large_is_refused() -> None:
    assert str(refusal(call_body([2**64]), "cereal-msgpack")).startswith(
        "cereal-msgpack cannot carry "
    )


@pytest.mark.parametrize("code", [0, 0x43, 127])
def test_a_custom_extension_type_arrives_or_is_refused_when_it_is_sent(code: int) -> None:
    value = msgpack.ExtType(code, b"0")

    try:
        payload = encode(call_body([stored(Order, pk=5), value]), "cereal-msgpack")
    except EncodeError as error:
        assert "cereal-msgpack cannot carry" in str(error)  # noqa: PT017
        return

    args, _, _ = decode(payload, "cereal-msgpack")
    assert args.with_references()[1] == value


def test_a_timestamp_arrives_unchanged() -> None:
    args, kwargs, _ = trip("cereal-msgpack", [msgpack.Timestamp(5, 6)])

    assert unpack(args, kwargs) == ((msgpack.Timestamp(5, 6),), {})


def test_timestamps_as_keys_of_dicts_are_bounded() -> None:
    def body(count: int) -> bytes:
        keys = [msgpack.packb(msgpack.Timestamp(number, 1)) for number in range(count)]
        stamps = b"".join(key + b"\0" for key in keys)
        return (
            b"\x93\x91\xdf" + count.to_bytes(4, "big") + stamps + b"\x80" + msgpack.packb(NO_EMBED)
        )

    assert len(consume(body(64), "cereal-msgpack")[0][0]) == 64
    with pytest.raises(InvalidMessage) as caught:
        unpack(*consume(body(65), "cereal-msgpack")[:2])
    assert str(caught.value) == ("The message has a dict with too many timestamps among its keys.")


def test_a_process_without_msgpack_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SerializerNotInstalled) as caught:
        import_without(monkeypatch, "cereal_methods.serializers.msgpack", "msgpack")

    assert str(caught.value) == (
        "cereal-msgpack needs msgpack: pip install 'django-cereal-methods[msgpack]'"
    )


def test_text_that_msgpack_cannot_write_is_refused() -> None:
    error = refusal(call_body(["\ud800"]), "cereal-msgpack")

    assert str(error).startswith(
        "cereal-msgpack cannot carry this value: 'utf-8' codec can't encode"
    )
    assert str(error).endswith(". Convert it, or send the task with serializer='cereal-pickle'.")


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="Since 3.12 Python does not count calls in C as its own."
)
def test_a_call_that_is_too_deep_to_be_written_again_fails_in_its_task() -> None:
    payload = b"\x93\x91" + b"\x91" * 508 + b"\x01\x80" + msgpack.packb(NO_EMBED)

    args, kwargs, _ = consume(payload, "cereal-msgpack")

    with pytest.raises(InvalidMessage, match="The body of a message cannot be read"):
        unpack(args, kwargs)
