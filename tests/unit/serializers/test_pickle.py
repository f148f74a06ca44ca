"""cereal-pickle, and the plain pickle beside it."""

from __future__ import annotations

import collections
import datetime
import decimal
import pickle
import uuid
from typing import Any

import pytest
from django.db import models
from kombu.serialization import registry

from cereal_methods.exceptions import InvalidMessage
from cereal_methods.pickle import DJANGO_CEREAL_PICKLE, model_decode, model_encode
from cereal_methods.serializers.pickle import FORMAT
from tests.shop.models import Customer, Order

from ..bodies import NAMES, call_body, decode, encode, stored, trip, unpack
from ..values import Box, OrderBox, Trap

NAME = "cereal-pickle"


@pytest.mark.parametrize(
    "value",
    [
        {1: "a", (2, 3): "b", None: "c"},
        (1, [2, {3}, frozenset({4})]),
        datetime.datetime(2026, 2, 28, tzinfo=datetime.UTC),
        decimal.Decimal("9.90"),
        uuid.UUID(int=5),
        b"\x00\xff",
        2**100,
        collections.OrderedDict(b=1, a=2),
        complex(1, 2),
    ],
    ids=repr,
)
def test_any_python_value_arrives_unchanged(value: Any) -> None:
    args, kwargs, _ = trip(NAME, [value])

    (result,), _ = unpack(args, kwargs)

    assert result == value
    assert type(result) is type(value)


def test_one_object_arrives_as_one_object() -> None:
    shared = [1]
    args, kwargs, _ = trip(NAME, [shared, shared], {"again": shared})

    (one, two), named = unpack(args, kwargs)

    assert one is two is named["again"]


@pytest.mark.django_db
def test_instances_are_found_in_objects_sets_and_keys() -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip(NAME, [OrderBox(order), {order}, {order: 1}])

    (box, members, mapping), _ = unpack(args, kwargs)

    assert box == OrderBox(order)
    assert members == {order}
    assert mapping == {order: 1}
    assert {id(box.content)} == {id(row) for row in (*members, *mapping)}


def test_values_are_shown_with_their_classes_only() -> None:
    args, _, _ = trip(
        NAME, [Box("secret"), {Box(1)}, decimal.Decimal("9.90"), datetime.date(2026, 2, 28)]
    )

    assert repr(args) == (
        "('<tests.unit.values.Box>', ['<tests.unit.values.Box>'], \"Decimal('9.90')\", "
        "'datetime.date(2026, 2, 28)')"
    )


class Crate(list[Any]):
    """A list that only pickle can carry."""


def test_objects_that_are_filled_while_they_are_unpickled_are_shown_too() -> None:
    args, _, _ = trip(NAME, [Crate([1, 2]), Trap("it")])

    assert repr(args) == ("('<tests.unit.serializers.test_pickle.Crate>', '<builtins.getattr>')")
    assert Trap.sprung == []


def test_another_unpickler_cannot_read_a_blob() -> None:
    payload = encode(call_body([stored(Order, pk=5)]), NAME)
    blob = payload[payload.index(b"\n", 33) + 1 :]

    with pytest.raises(
        pickle.UnpicklingError, match="a cereal-pickle blob was unpickled by another unpickler"
    ):
        pickle.loads(blob)


def test_a_plain_pickle_of_an_instance_is_the_instance() -> None:
    order = stored(Order, pk=5, city="Delft")
    encode(call_body([order]), NAME)

    copy = pickle.loads(pickle.dumps(order))

    assert type(copy) is Order
    assert copy.city == "Delft"
    assert copy._state.db == "default"


@pytest.mark.parametrize("name", NAMES)
def test_the_hooks_of_models_are_not_changed(name: str) -> None:
    hooks = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__deepcopy__")
    before = {hook: getattr(Order, hook, None) for hook in hooks}
    own = {hook: models.Model.__dict__.get(hook) for hook in hooks}

    trip(name, [stored(Order, pk=5)])

    assert {hook: getattr(Order, hook, None) for hook in hooks} == before
    assert {hook: models.Model.__dict__.get(hook) for hook in hooks} == own
    assert models.Model.__reduce__.__module__ == "django.db.models.base"


@pytest.mark.parametrize("name", ["pickle", "json", "yaml", "msgpack"])
def test_kombus_serializers_are_not_changed(name: str) -> None:
    codec = registry._encoders[name]
    decoder = registry._decoders[codec.content_type]

    for function in (codec.encoder, decoder):
        module = getattr(function, "__module__", "") or ""
        assert not module.startswith("cereal_methods")
    assert codec.content_type in (
        f"application/{name}",
        f"application/x-{name}",
        "application/x-python-serialize",
    )


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_are_the_same_bytes_before_and_after(protocol: int) -> None:
    order = stored(Order, pk=5, city="Delft")
    before = pickle.dumps(order, protocol)

    for name in NAMES:
        trip(name, [order])

    assert pickle.dumps(order, protocol) == before


def test_model_encode_writes_what_the_old_name_reads(django_assert_num_queries: Any) -> None:
    assert DJANGO_CEREAL_PICKLE == "django_cereal_pickle"
    payload = model_encode(call_body(["dhl"]))

    args, kwargs, _ = decode(payload, DJANGO_CEREAL_PICKLE)

    assert unpack(args, kwargs) == (("dhl",), {})


@pytest.mark.django_db
def test_model_decode_gives_fresh_instances() -> None:
    order, customer = Order.objects.create(), Customer.objects.create(name="Ada")
    data = model_encode({"order": order, "customers": [customer]})
    Order.objects.update(status="paid")

    row = model_decode(data)

    assert row == {"order": order, "customers": [customer]}
    assert row["order"].status == "paid"


def test_model_decode_refuses_a_plain_pickle() -> None:
    with pytest.raises(InvalidMessage) as caught:
        model_decode(pickle.dumps([1]))

    assert str(caught.value) == "The message is not a cereal-pickle body."


def test_the_format_pickles_by_name() -> None:
    assert type(pickle.loads(pickle.dumps(FORMAT))) is type(FORMAT)
    assert len(pickle.dumps(FORMAT)) < 80
