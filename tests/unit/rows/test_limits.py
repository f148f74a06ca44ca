"""Keys that somebody with access to the broker has chosen."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from typing import Any

import pytest

from cereal_methods.exceptions import InvalidMessage, UnsupportedKey
from cereal_methods.rows.keys import clean_key, key_from_wire, key_to_wire
from cereal_methods.rows.limits import check_hashes
from cereal_methods.rows.wire import reference_from_key, reference_from_wire, references_from_wire
from tests.shop.models import Country, Document, Line, Order, Price

from ..bodies import consume

#: Integers with the same hash, which Python does not randomize.
SAME_HASH = [number * (2**61 - 1) for number in range(1, 1000)]


HUGE: list[Any] = [
    {"decimal": "1e1000000"},
    {"decimal": "1e-1000000"},
    {"decimal": "9" * 1500},
    {"decimal": "9" * 1_000_000},
    {"decimal": "NaN"},
    {"decimal": "sNaN"},
    {"decimal": "Infinity"},
    {"decimal": [0, [1], 1_000_000]},
    {"uuid": "0" * 1_000_000},
    {"date": "2020-01-01" * 1000},
    10**1001,
    -(10**1001),
    "x" * 10_001,
    [1] * 65,
    [{"decimal": "1e1000000"}, 1],
    ["x" * 10_001],
]


def called(refs: list[Any]) -> str:
    """Return the body of a call with these references."""
    return f'{{"cereal":1,"refs":{json.dumps(refs)},"call":7}}\n[[],{{}}]'


@pytest.mark.parametrize("key", HUGE, ids=lambda key: repr(key)[:30])
def test_a_huge_key_is_refused_before_anything_computes_with_it(key: Any) -> None:
    with pytest.raises(InvalidMessage) as caught:
        reference_from_wire(["shop.Order", key, "default"])
    assert len(str(caught.value)) < 200
    with pytest.raises(InvalidMessage):
        reference_from_wire(["shop.Order", [key], "default", "rows"])


@pytest.mark.parametrize("key", HUGE, ids=lambda key: repr(key)[:30])
@pytest.mark.parametrize("model", [Order, Country, Price, Document, Line])
def test_a_huge_key_that_a_user_wrote_is_refused(model: Any, key: Any) -> None:
    with pytest.raises((UnsupportedKey, InvalidMessage)) as caught:
        reference_from_key(model, key)
    assert len(str(caught.value)) < 300


def test_a_huge_key_is_refused_where_it_is_sent() -> None:
    with pytest.raises(UnsupportedKey) as caught:
        clean_key(Country._meta.pk, "x" * 10_001)

    assert str(caught.value) == (
        "A primary key of shop.Country is a text of 10,001 characters: references carry at most "
        "10,000 characters or 1,000 digits."
    )


@pytest.mark.parametrize(
    "key",
    [
        0,
        2**64,
        -(10**999),
        "x" * 10_000,
        decimal.Decimal("1e999"),
        decimal.Decimal("-0.00"),
        uuid.UUID(int=5),
        datetime.date(2020, 1, 1),
        datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        (1, "a", decimal.Decimal("1.5")),
    ],
    ids=lambda key: str(key)[:30],
)
def test_ordinary_keys_are_accepted(key: Any) -> None:
    assert key_from_wire(key_to_wire(key)) == key


@pytest.mark.parametrize(
    "refs",
    [
        [["shop.Order", SAME_HASH, "default", "rows"]],
        [["shop.Order", key, "default"] for key in SAME_HASH],
        [["shop.Order", SAME_HASH[at : at + 60], "default", "rows"] for at in range(0, 600, 60)],
        [["shop.Document", {"uuid": str(uuid.UUID(int=key))}, "default"] for key in SAME_HASH],
        [["shop.Price", {"decimal": str(key)}, "default"] for key in SAME_HASH],
    ],
    ids=["rows", "references", "many rows", "uuids", "decimals"],
)
def test_keys_with_the_same_hash_are_refused_before_they_are_in_a_dict(refs: Any) -> None:
    args, _, _ = consume(called(refs), "cereal-json")

    with pytest.raises(InvalidMessage, match="with the same hash"):
        args.call.references()


def test_a_key_may_be_named_many_times() -> None:
    refs = [[f"shop.Model{number}", 5, "default"] for number in range(1000)]

    assert len(references_from_wire(refs)) == 1000
    check_hashes([5] * 1000)
    check_hashes([uuid.uuid4() for _ in range(1000)])
    check_hashes(range(100_000))
