"""cereal-msgpack: what kombu's msgpack carries, and references as extension types."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from kombu.exceptions import EncodeError

from tests.shop.models import Order

from .bodies import call_body, decode, encode, refusal, stored, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.mark.parametrize(
    "value", [{1: "a", "b": 2}, b"\x00\xff", 2**63, -(2**63), 1.5, None, True, [[]]], ids=repr
)
def test_values_that_kombus_msgpack_carries_arrive_as_they_were(value: Any) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip("cereal-msgpack", [value, order])

    (found, row), _ = unpack(args, kwargs)

    assert found == value
    assert type(found) is type(value)
    assert row == order


def test_a_tuple_arrives_as_a_list() -> None:
    args, kwargs, _ = trip("cereal-msgpack", [(1, (2,))])

    assert unpack(args, kwargs) == (([1, [2]],), {})


def test_a_number_that_is_too_large_is_refused() -> None:
    assert str(refusal(call_body([2**64]), "cereal-msgpack")).startswith(
        "cereal-msgpack cannot carry "
    )


@pytest.mark.parametrize("code", [0, 0x43, 127])
def test_an_extension_type_of_the_users_arrives_or_is_refused_when_it_is_sent(code: int) -> None:
    value = msgpack.ExtType(code, b"0")

    try:
        payload = encode(call_body([stored(Order, pk=5), value]), "cereal-msgpack")
    except EncodeError as error:
        assert "cereal-msgpack cannot carry" in str(error)  # noqa: PT017
        return

    args, _, _ = decode(payload, "cereal-msgpack")
    assert args.plainly(references=True)[1] == value


def test_a_timestamp_arrives_as_it_was() -> None:
    args, kwargs, _ = trip("cereal-msgpack", [msgpack.Timestamp(5, 6)])

    assert unpack(args, kwargs) == ((msgpack.Timestamp(5, 6),), {})
