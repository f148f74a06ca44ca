"""cereal-json: what kombu's json carries, and data that looks like references."""

from __future__ import annotations

import datetime
import decimal
import json
import pickle
import uuid
from typing import Any

import pytest
from kombu.utils.json import dumps as kombu_dumps
from kombu.utils.json import loads as kombu_loads

from cereal_methods import ModelReference
from tests.shop.models import Order

from ..bodies import call_body, decode, encode, stored, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])

LOOKALIKES: list[Any] = [
    {"$ref": 0},
    {"$ref": {"$ref": 0}},
    {"$ref": 0, "other": 1},
    {"$$ref": 1},
    {"$ref": {"$$ref": {"$$$ref": 0}}},
    "$ref",
    '{"$ref":0}',
    '"$ref"',
    "\\u0024ref",
    ["$ref", 0],
    {"a": "$ref"},
    {"cereal_methods.reference": ["shop.Order", 1, "default"], "other": 1},
    {"mark": "$ref", "refs": [], "cereal": 1},
]


@pytest.mark.parametrize("value", LOOKALIKES, ids=json.dumps)
def test_data_that_looks_like_a_reference_arrives_unchanged(value: Any) -> None:
    args, kwargs, _ = trip("cereal-json", [value], {"value": value})

    assert unpack(args, kwargs) == ((value,), {"value": value})


@pytest.mark.parametrize("value", LOOKALIKES, ids=json.dumps)
def test_data_that_looks_like_a_reference_arrives_beside_one(value: Any) -> None:
    order = Order.objects.create()
    args, kwargs, embed = trip("cereal-json", [value, order], {"a": [order]}, chain=[value])

    assert unpack(args, kwargs) == ((value, order), {"a": [order]})
    assert embed["chain"] == [value]


@pytest.mark.parametrize("value", LOOKALIKES, ids=json.dumps)
def test_data_that_looks_like_a_reference_is_a_result(value: Any) -> None:
    order = Order.objects.create()
    record = {"status": "SUCCESS", "result": [value, order]}

    assert decode(encode(record, "cereal-json"), "cereal-json")["result"] == [value, order]


def test_data_that_looks_like_a_reference_comes_through_a_pipe() -> None:
    body = trip("cereal-json", [{"$ref": 0}, stored(Order, pk=5)])

    args, _, _ = pickle.loads(pickle.dumps(body))

    assert repr(args) == "({'$ref': 0}, '<shop.Order 5>')"


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 2, 28, 12, 30, 1, 250, tzinfo=datetime.UTC),
        datetime.datetime(2026, 2, 28),  # noqa: DTZ001  (a naive one)
        datetime.date(2026, 2, 28),
        decimal.Decimal("9.90"),
        uuid.UUID(int=5),
        b"\x00\xff",
        2**70,
    ],
    ids=repr,
)
def test_values_of_kombus_json_arrive_unchanged(value: Any) -> None:
    args, kwargs, _ = trip("cereal-json", [{"deep": [value]}])

    (result,), _ = unpack(args, kwargs)

    assert result == {"deep": [value]}
    assert type(result["deep"][0]) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        datetime.time(12, 30),
        {1: "a"},
        float("inf"),
        {"__type__": "uuid", "__value__": {"hex": uuid.UUID(int=5).hex}},
        {"$": {"__type__": 1}},
    ],
    ids=repr,
)
def test_any_value_arrives_as_with_kombus_json(value: Any) -> None:
    args, kwargs, _ = trip("cereal-json", [value])

    assert unpack(args, kwargs) == ((kombu_loads(kombu_dumps(value)),), {})


def test_a_body_is_text_that_people_can_read() -> None:
    this = ModelReference.of(stored(Order, pk=5)).as_plain()

    payload = encode(call_body(["dhl"], {"this": this}), "cereal-json")

    assert payload == (
        '{"cereal":1,"refs":[["shop.Order",5,"default"]],"this":0,"call":12}\n[["dhl"],{}]'
    )
