"""The containers of a message that are encoded, shown, or pickled into a pool."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from kombu.utils.json import dumps as kombu_json

from cereal_methods import ModelReference
from tests.shop.models import Customer, Order

from ..bodies import NO_EMBED, decode, encode, stored, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


def test_received_arguments_are_sent_again_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order, this = stored(Order, pk=5), stored(Customer, pk=7)
    args, kwargs, embed = trip(name, ["dhl"], {"this": this, "by": {"id": order}}, chain=[order])

    with django_assert_num_queries(0):
        again_args, again, _ = decode(encode((args, kwargs, dict(embed)), name), name)

    assert again_args.with_references() == ["dhl"]
    assert again.with_references() == {
        "this": ModelReference.of(this),
        "by": {"id": ModelReference.of(order)},
    }


def test_received_arguments_are_passed_to_another_call_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order = stored(Order, pk=5)
    args, kwargs, embed = trip(name, ["dhl", order], {"this": order}, chain=[order])

    with django_assert_num_queries(0):
        parts, named, _ = trip(name, [args], {"kwargs": kwargs, "embed": embed})

    reference = ModelReference.of(order)
    assert [list(value) for value in parts.with_references()] == [["dhl", reference]]
    assert named.with_references() == {
        "kwargs": {"this": reference},
        "embed": {"callbacks": None, "errbacks": None, "chain": [reference], "chord": None},
    }


def test_the_containers_are_json_for_inspection_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order, customer = stored(Order, pk=5), stored(Customer, pk=7)
    args, kwargs, _ = trip(name, ["dhl", [order]], {"this": order, "by": {"id": customer}})

    with django_assert_num_queries(0):
        text = kombu_json({"args": args, "kwargs": kwargs})

    assert json.loads(text) == {
        "args": ["dhl", [{"cereal_methods.reference": ["shop.Order", 5, "default"]}]],
        "kwargs": {
            "this": {"cereal_methods.reference": ["shop.Order", 5, "default"]},
            "by": {"id": {"cereal_methods.reference": ["shop.Customer", 7, "default"]}},
        },
    }


def test_the_containers_show_their_references_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order = stored(Order, pk=5, city="Secretville")
    args, kwargs, embed = trip(name, ["dhl", order], {"other": order}, callbacks=[order])

    with django_assert_num_queries(0):
        shown = repr((args, kwargs, embed))

    assert shown == "(('dhl', '<shop.Order 5>'), {'other': '<shop.Order 5>'}, <LazyEmbed>)"


def test_the_containers_pickle_small_and_without_a_query(
    name: str, django_assert_num_queries: Any
) -> None:
    order = stored(Order, pk=5)
    body = trip(name, ["dhl", order], {"other": order})

    with django_assert_num_queries(0):
        piped = pickle.dumps(body)
        args, kwargs, embed = pickle.loads(piped)

    assert len(piped) < 600
    reference = ModelReference.of(order)
    assert list(args.with_references()) == ["dhl", reference]
    assert kwargs.with_references() == {"other": reference}
    assert args.call is kwargs.call
    assert embed == NO_EMBED


def test_containers_from_a_pipe_fetch_their_rows(name: str, django_assert_num_queries: Any) -> None:
    order = Order.objects.create()
    args, kwargs, _ = pickle.loads(pickle.dumps(trip(name, [order], {"other": [order]})))

    with django_assert_num_queries(1):
        (value,), named = unpack(args, kwargs)

    assert value == order
    assert named["other"][0] is value


def test_the_containers_are_small_after_they_have_fetched_too(name: str) -> None:
    args, kwargs, _ = trip(name, [Order.objects.create()])
    before = len(pickle.dumps((args, kwargs)))
    unpack(args, kwargs)

    assert len(pickle.dumps((args, kwargs))) == before
