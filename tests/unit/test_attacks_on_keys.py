"""Keys that somebody with access to the broker has chosen: to take long, or to be seen."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from typing import Any
from unittest import mock

import msgpack
import pytest

from cereal_methods import ModelReference, keys
from cereal_methods.exceptions import InvalidMessage, InvalidModelTask, UnsupportedKey
from cereal_methods.hydration import fetch, fetch_all, missing_rows
from cereal_methods.keys import check_spread, clean_key, key_from_wire, key_to_wire, shown
from cereal_methods.policies import RowLocked
from cereal_methods.references import QuerySetReference, all_from_wire, from_wire, reference_to
from tests.shop.models import Country, Document, Line, Order, Price

from .bodies import NO_EMBED, consume, unpack

#: One hash for all, which Python does not randomize.
ALIKE = [each * (2**61 - 1) for each in range(1, 1000)]

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
        from_wire(["shop.Order", key, "default"])
    assert len(str(caught.value)) < 200
    with pytest.raises(InvalidMessage):
        from_wire(["shop.Order", [key], "default", "rows"])


@pytest.mark.parametrize("key", HUGE, ids=lambda key: repr(key)[:30])
@pytest.mark.parametrize("model", [Order, Country, Price, Document, Line])
def test_a_huge_key_of_a_schedule_or_of_celerys_json_is_refused(model: Any, key: Any) -> None:
    with pytest.raises((UnsupportedKey, InvalidMessage)) as caught:
        reference_to(model, key)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "key", [decimal.Decimal("1e1000000"), decimal.Decimal("5.5"), uuid.UUID(int=5), 10**1001]
)
def test_an_integer_field_takes_integers_alone(key: Any) -> None:
    with (
        mock.patch.object(Order._meta.pk, "to_python", side_effect=AssertionError),
        pytest.raises(UnsupportedKey),
    ):
        reference_to(Order, key)


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
        datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
        (1, "a", decimal.Decimal("1.5")),
    ],
    ids=lambda key: str(key)[:30],
)
def test_ordinary_keys_travel(key: Any) -> None:
    assert key_from_wire(key_to_wire(key)) == key


@pytest.mark.parametrize(
    "refs",
    [
        [["shop.Order", ALIKE, "default", "rows"]],
        [["shop.Order", key, "default"] for key in ALIKE],
        [["shop.Order", ALIKE[at : at + 60], "default", "rows"] for at in range(0, 600, 60)],
        [["shop.Document", {"uuid": str(uuid.UUID(int=key))}, "default"] for key in ALIKE],
        [["shop.Price", {"decimal": str(key)}, "default"] for key in ALIKE],
    ],
    ids=["rows", "references", "many rows", "uuids", "decimals"],
)
def test_keys_of_one_hash_are_refused_before_they_are_hashed_together(refs: Any) -> None:
    args, _, _ = consume(called(refs), "cereal-json")

    with pytest.raises(InvalidMessage, match="their hashes are equal"):
        args.call.references()


def test_a_key_may_be_named_many_times() -> None:
    refs = [[f"shop.Model{each}", 5, "default"] for each in range(1000)]

    assert len(all_from_wire(refs)) == 1000
    check_spread([5] * 1000)
    check_spread([uuid.uuid4() for _ in range(1000)])
    check_spread(range(100_000))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("label", "key", "told"),
    [
        ("shop.Order", "5", "'5'. Its type here: int."),
        ("shop.Order", decimal.Decimal("1e1000000"), "1E+1000000. Its type here: int."),
        ("shop.Order", 2**64, f"{2**64}. Its type here: int."),
        ("shop.Order", datetime.date(2020, 1, 1), "2020-01-01. Its type here: int."),
        ("shop.Document", 5, "5. Its type here: UUID."),
        ("shop.Country", 5, "5. Its type here: str."),
        ("shop.Line", 5, "5. Its type here: int, int."),
        ("shop.Line", (5, "1"), "(5, '1'). Its type here: int, int."),
        ("shop.Line", (5, 1, 1), "(5, 1, 1). Its type here: int, int."),
        ("shop.Gift", "5", "'5'. Its type here: int."),
    ],
)
def test_the_type_of_a_key_is_compared_with_its_field_before_a_query(
    label: str, key: Any, told: str, django_assert_num_queries: Any
) -> None:
    one, many = ModelReference(label, key, "default"), QuerySetReference(label, (key,), "default")
    for references in ([one], [many], [one, many]):
        with django_assert_num_queries(0), pytest.raises(InvalidMessage) as caught:
            fetch_all(references)
        assert str(caught.value) == (
            f"A message refers to {label} by a primary key of another type: {told}"
        )
        assert caught.value.__cause__ is None


def test_no_text_of_a_key_writes_a_line_of_its_own() -> None:
    reference = ModelReference("shop.Country", "de\nTask x succeeded", "a\nb")

    assert repr(reference) == r"<shop.Country de\nTask x succeeded>"
    assert "\n" not in str(missing_rows([reference]))
    assert "\n" not in str(RowLocked("shop.Country", ["a\nb"], "default"))
    assert repr(ModelReference("shop.\x1b[31m", "\u2028", "x")) == r"<shop.\x1b[31m \u2028>"
    assert repr(QuerySetReference("a\nb", (), "x")) == r"<a\nb 0 rows>"


def test_texts_of_keys_are_short() -> None:
    long = ModelReference("x" * 10_000, "y" * 10_000, "default")

    assert len(repr(long)) < 250
    assert repr(long).startswith("<xxx")
    assert len(repr(ModelReference("shop.Line", ("z" * 10_000,) * 64, "default"))) < 500
    assert len(shown(10**5000)) < 100
    assert repr(ModelReference("shop.Country", "Größe 5", "x")) == "<shop.Country Größe 5>"


def test_what_is_no_key_is_not_quoted() -> None:
    with pytest.raises(InvalidModelTask) as caught:
        Order.ship.task.apply(kwargs={"this": "card 4111\n1111"}, throw=True)

    error: BaseException | None = caught.value
    assert str(error) == (
        "The task tests.shop.models.Order.ship was sent with this=a str of length 14, which is "
        "neither a primary key of shop.Order nor a reference to a row of it."
    )
    while error is not None:
        assert "4111" not in str(error)
        error = None if error.__suppress_context__ else error.__context__


def test_what_django_says_of_a_key_is_not_quoted() -> None:
    with (
        mock.patch.object(keys, "_KINDS", {}),
        mock.patch.object(keys, "_kinds_of", return_value=(None,)),
        pytest.raises(InvalidMessage) as caught,
    ):
        fetch(ModelReference("shop.Order", "a\nb", "default"))

    assert str(caught.value) == (
        "A message refers to shop.Order by a primary key of another type: 'a\\\\nb'. Its type "
        "here: its own. ValueError."
    )


def test_timestamps_as_keys_of_dicts_are_bounded() -> None:
    def body(count: int) -> bytes:
        found = [msgpack.packb(msgpack.Timestamp(each, 1)) for each in range(count)]
        stamps = b"".join(each + b"\0" for each in found)
        return (
            b"\x93\x91\xdf" + count.to_bytes(4, "big") + stamps + b"\x80" + msgpack.packb(NO_EMBED)
        )

    assert len(consume(body(64), "cereal-msgpack")[0][0]) == 64
    with pytest.raises(InvalidMessage) as caught:
        unpack(*consume(body(65), "cereal-msgpack")[:2])
    assert str(caught.value) == ("The message has a dict with too many timestamps among its keys.")


def test_huge_numbers_as_keys_of_dicts_are_bounded() -> None:
    pytest.importorskip("yaml")

    def body(count: int) -> str:
        pairs = ", ".join(f"{10**30 + each}: 1" for each in range(count))
        return f"- - {{{pairs}}}\n- {{}}\n- {{callbacks: null}}\n"

    assert len(consume(body(64), "cereal-yaml")[0][0]) == 64
    with pytest.raises(InvalidMessage) as caught:
        unpack(*consume(body(65), "cereal-yaml")[:2])
    assert str(caught.value) == "The YAML of a message has a dict with too many huge keys."
