"""cereal-yaml: what kombu's yaml carries, and data that looks like references."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import pytest
from celery import signature
from kombu.exceptions import DecodeError, SerializerNotInstalled

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage
from tests.shop.models import Order

from ..bodies import call_body, consume, decode, encode, stored, trip, unpack
from ..interpreters import import_without

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
        datetime.datetime(2026, 2, 28, 12, tzinfo=datetime.UTC),
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
def test_values_of_kombus_yaml_arrive_unchanged(value: Any) -> None:
    args, kwargs, _ = trip("cereal-yaml", [value])

    (result,), _ = unpack(args, kwargs)

    assert result == value
    assert type(result) is type(value)


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


def test_huge_numbers_as_keys_of_dicts_are_bounded() -> None:
    def body(count: int) -> str:
        pairs = ", ".join(f"{10**30 + number}: 1" for number in range(count))
        return f"- - {{{pairs}}}\n- {{}}\n- {{callbacks: null}}\n"

    assert len(consume(body(64), "cereal-yaml")[0][0]) == 64
    with pytest.raises(InvalidMessage) as caught:
        unpack(*consume(body(65), "cereal-yaml")[:2])
    assert str(caught.value) == (
        "The YAML of a message has a dict with too many huge integers among its keys."
    )


class Pair(NamedTuple):
    """A tuple with names."""

    a: int
    b: int


def test_subclasses_of_lists_and_dicts_are_written_as_such() -> None:
    args, _, _ = trip(
        "cereal-yaml", [Pair(1, 2), signature("shop.next", (1,)), stored(Order, pk=5)]
    )

    data, sent, _ = args.with_references()
    assert data == [1, 2]
    assert (sent["task"], sent["args"]) == ("shop.next", [1])


#: YAML that keeps a worker busy, and what is said of it.
BOMBS = {
    "aliases": (
        "- - &a0 [1]\n"
        + "".join(
            f"  - &a{level} [{f'*a{level - 1}, ' * 9}*a{level - 1}]\n" for level in range(1, 9)
        ),
        "The YAML of a message expands without limit.",
    ),
    "brackets": ("- - " + "[" * 65 + "]" * 65 + "\n", "has too many nested brackets."),
    "merge key": ("- - {<<: {a: 1}}\n", "has a merge key, which is refused."),
    "base 60": ("- - 1:59\n", "has an integer in base 60 or with thousands of digits"),
    "digits": (f"- - {'9' * 5001}\n", "has an integer in base 60 or with thousands of digits"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_yaml_that_keeps_a_worker_busy_is_refused(bomb: str) -> None:
    args, text = BOMBS[bomb]

    args, kwargs, _ = consume(f"{args}- {{}}\n- {{callbacks: null}}\n", "cereal-yaml")

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert text in str(caught.value)


def test_a_process_without_pyyaml_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SerializerNotInstalled) as caught:
        import_without(monkeypatch, "cereal_methods.serializers.yaml", "yaml")

    assert (
        str(caught.value) == "cereal-yaml needs PyYAML: pip install 'django-cereal-methods[yaml]'"
    )
