"""cereal-yaml: what kombu's yaml carries, and data that looks like references."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from kombu.exceptions import DecodeError

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage
from tests.shop.models import Order

from .bodies import call_body, decode, encode, stored, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.mark.parametrize(
    "value",
    ["!ref 0", "!ref", {"!ref": 0}, "*a", "&a", "--- !ref 0", "!!python/object:os.system", "- a"],
    ids=repr,
)
def test_data_that_looks_like_a_reference_arrives_beside_one(value: Any) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip("cereal-yaml", [value, order], {"value": [value]})

    assert unpack(args, kwargs) == ((value, order), {"value": [value]})


@pytest.mark.parametrize(
    "value",
    [
        {1: "a", None: "b"},
        datetime.date(2026, 2, 28),
        datetime.datetime(2026, 2, 28, 12, tzinfo=datetime.timezone.utc),
        b"\x00\xff",
        {1, 2},
        2**70,
        "yes",
        "1",
        "",
        "null",
        "2026-02-28",
    ],
    ids=repr,
)
def test_values_that_kombus_yaml_carries_arrive_as_they_were(value: Any) -> None:
    args, kwargs, _ = trip("cereal-yaml", [value])

    (found,), _ = unpack(args, kwargs)

    assert found == value
    assert type(found) is type(value)


def test_one_object_arrives_as_one_object() -> None:
    shared = [1]
    args, kwargs, _ = trip("cereal-yaml", [shared, shared])

    (one, two), _ = unpack(args, kwargs)

    assert one is two


@pytest.mark.parametrize("blob", ["- - !!python/name:os.system ''\n- {}\n", "- - !ref x\n- {}\n"])
def test_tags_that_mean_something_else_fail_in_the_task(blob: str) -> None:
    payload = f'{{"cereal":1,"call":{len(blob)}}}\n{blob}'

    args, kwargs, _ = decode(payload, "cereal-yaml")

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value).startswith("The arguments of a message cannot be read: ")


def test_a_result_of_an_unknown_tag_is_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        decode("{\"cereal\":1}\n!!python/name:os.system ''\n", "cereal-yaml")

    assert type(caught.value.args[0]) is InvalidMessage


def test_a_body_is_text_that_people_can_read() -> None:
    this = ModelReference.of(stored(Order, pk=5)).as_plain()

    payload = encode(call_body(["dhl"], {"this": this, "a": 1}), "cereal-yaml")

    assert payload == (
        '{"cereal":1,"refs":[["shop.Order",5,"default"]],"this":0,"call":15}\n- - dhl\n- a: 1\n'
    )
