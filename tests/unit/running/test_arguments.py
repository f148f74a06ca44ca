"""The containers that a decoded message has for its arguments."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from kombu.utils.json import dumps as kombu_json

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage, UnknownDatabase, UnknownModel
from cereal_methods.running.arguments import LazyArgs, LazyKwargs
from cereal_methods.running.embed import LazyEmbed
from tests.shop.models import Customer, Order

from ..bodies import (
    call_body,
    decode,
    encode,
    plain,
    running,
    stored,
    trip,
    unpack,
)
from ..values import Box

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


def test_a_decoded_call_is_two_containers_and_an_embed(name: str) -> None:
    body = trip(name, [stored(Order, pk=5)], callbacks=[1])

    assert [type(part) for part in body] == [LazyArgs, LazyKwargs, LazyEmbed]


def test_args_and_kwargs_are_fetched_together_and_once(
    name: str, django_assert_num_queries: Any
) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip(name, [order], {"other": order})

    with running(plain, args, kwargs), django_assert_num_queries(1):
        (first,) = args
        assert kwargs["other"] is first is args[0]
        assert type(first) is Order
        assert dict(kwargs) == {"other": first}
        assert kwargs.copy() == {"other": first}


def test_reading_names_and_sizes_fetches_nothing(name: str, django_assert_num_queries: Any) -> None:
    order = stored(Order, pk=5)
    args, kwargs, _ = trip(name, [order, 1], {"this": order, "b": 2})

    with django_assert_num_queries(0):
        assert len(args) == 2
        assert len(kwargs) == 2
        assert list(kwargs) in (["this", "b"], ["b", "this"])
        assert "this" in kwargs
        assert "c" not in kwargs
        assert bool(args)
        assert bool(kwargs)


def test_a_call_is_decoded_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip(name, [order, 1], {"this": order, "b": [order]})
    decoder = type(args.call.decoder)
    decoded = []

    def decode_and_note(*arguments: Any) -> Any:
        decoded.append(arguments)
        return decode_blob(*arguments)

    decode_blob = decoder.decode
    monkeypatch.setattr(decoder, "decode", decode_and_note)
    unpack(args, kwargs)

    assert len(decoded) == 1


def test_a_missing_row_fails_when_arguments_are_unpacked(name: str) -> None:
    order = Order.objects.create(pk=5)
    args, kwargs, _ = trip(name, [order])
    order.delete()

    with pytest.raises(Order.DoesNotExist) as caught:
        unpack(args, kwargs)

    assert str(caught.value).startswith("shop.Order 5 in database 'default' does not exist: ")


def test_a_missing_row_fails_every_time(name: str, django_assert_num_queries: Any) -> None:
    args, kwargs, _ = trip(name, [stored(Order, pk=5)], {"a": 1})

    with django_assert_num_queries(1):
        for _ in range(2):
            with pytest.raises(Order.DoesNotExist):
                unpack(args, kwargs)


def test_a_failure_handler_can_read_the_references(name: str) -> None:
    order = stored(Order, pk=5)
    args, kwargs, _ = trip(name, [order, 1], {"this": order})

    try:
        unpack(args, kwargs)
    except Order.DoesNotExist:
        seen = args[0], list(args)[1], kwargs["this"]

    reference = ModelReference.of(order)
    assert seen == (reference, 1, reference)


def test_a_missing_row_can_still_be_shown(name: str) -> None:
    args, kwargs, _ = trip(name, [stored(Order, pk=5)], {"a": 1})
    with pytest.raises(Order.DoesNotExist):
        unpack(args, kwargs)

    assert repr((args, kwargs)) == "(('<shop.Order 5>',), {'a': 1})"
    assert kombu_json([args, kwargs]) == (
        '[[{"cereal_methods.reference": ["shop.Order", 5, "default"]}], {"a": 1}]'
    )


def test_an_unknown_model_fails_when_arguments_are_unpacked(name: str) -> None:
    args, kwargs, _ = trip(name, [ModelReference("shop.Gone", 5, "default")])

    with pytest.raises(UnknownModel):
        unpack(args, kwargs)
    assert repr(args) == "('<shop.Gone 5>',)"


def test_an_unknown_database_fails_when_arguments_are_unpacked(name: str) -> None:
    args, kwargs, _ = trip(name, [ModelReference("shop.Order", 5, "elsewhere")])

    with pytest.raises(UnknownDatabase):
        unpack(args, kwargs)
    assert repr(args) == "('<shop.Order 5>',)"


@pytest.mark.parametrize(
    "reference",
    [ModelReference("shop.Gone", 5, "default"), ModelReference("shop.Order", 5, "elsewhere")],
)
def test_a_handler_can_read_references_unknown_to_this_process(
    name: str, reference: ModelReference
) -> None:
    args, kwargs, _ = trip(name, [reference], {"this": reference})

    try:
        unpack(args, kwargs)
    except (UnknownModel, UnknownDatabase):
        seen = args[0], kwargs["this"], len(args)

    assert seen == (reference, reference, 1)


def test_embedded_references_are_not_fetched(name: str, django_assert_num_queries: Any) -> None:
    order, other = Order.objects.create(), Order.objects.create()
    customer = Customer.objects.create(name="Ada")
    link = {"task": "tests.next", "args": [other, customer], "kwargs": {"same": order}}
    args, kwargs, embed = trip(name, [order], callbacks=[link])

    with django_assert_num_queries(1) as queries:
        unpack(args, kwargs)
        callback = embed["callbacks"][0]

    assert queries.captured_queries[0]["sql"].endswith(f'"shop_order"."id" = {order.pk}')
    assert callback["args"] == [ModelReference.of(other), ModelReference.of(customer)]
    assert callback["kwargs"] == {"same": ModelReference.of(order)}


def test_missing_embedded_rows_do_not_matter(name: str) -> None:
    order = Order.objects.create()
    link = {"task": "tests.next", "args": [stored(Customer, pk=7)], "kwargs": {}}
    args, kwargs, _ = trip(name, [order], errbacks=[link])

    assert unpack(args, kwargs) == ((order,), {})


@pytest.mark.parametrize("part", ["callbacks", "errbacks", "chain"])
def test_embedded_references_are_forwarded_unchanged(
    name: str, part: str, django_assert_num_queries: Any
) -> None:
    order = stored(Order, pk=5)
    step = {"task": "tests.next", "args": [order], "kwargs": {"this": order}}
    _, _, embed = trip(name, [1], **{part: [step, step]})

    with django_assert_num_queries(0):
        _, _, again = trip(name, [2], **{part: embed[part][:1]})

    reference = ModelReference.of(order)
    assert again[part] == [
        {"task": "tests.next", "args": [reference], "kwargs": {"this": reference}}
    ]


def test_an_embed_is_a_mapping_of_what_celery_asks_for(name: str) -> None:
    _, _, embed = trip(name, [1], callbacks=["a"], chain=["b"])

    assert dict(embed) == {"callbacks": ["a"], "errbacks": None, "chain": ["b"], "chord": None}
    assert embed.get("chain") == ["b"]
    assert len(embed) == 4
    assert kombu_json(embed) == kombu_json(dict(embed))


def test_an_embed_can_be_pickled(name: str) -> None:
    _, _, embed = pickle.loads(pickle.dumps(trip(name, [1], callbacks=[stored(Order, pk=5)])))

    assert embed["callbacks"] == [ModelReference("shop.Order", 5, "default")]


def test_an_embed_that_cannot_be_read_fails_the_call() -> None:
    payload = encode(call_body([stored(Order, pk=5)], callbacks=["a"]), "cereal-json")
    args, kwargs, embed = decode(f"{payload[:-1]}]", "cereal-json")

    assert embed["callbacks"] is None
    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value).startswith(
        "The embedded signatures of a message cannot be read: JSONDecodeError. "
    )
    assert str(caught.value).endswith(
        ". Either the message was damaged on its way, or this process does not have a class "
        "that it contains."
    )


@pytest.fixture
def loner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An instance of a class whose module is not imported here, though it could be."""
    (tmp_path / "loner_of_the_tests.py").write_text(
        "class Loner:\n    def __init__(self, order):\n        self.order = order\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("loner_of_the_tests")
    yield module.Loner
    sys.modules.pop("loner_of_the_tests", None)


def test_decoding_and_showing_a_pickle_imports_nothing(loner: Any) -> None:
    order = Order.objects.create(pk=5)
    value = {"loner": [loner(order)], "order": order}
    payload = encode(
        call_body([value], {"again": loner(order)}, callbacks=[value]), "cereal-pickle"
    )
    del sys.modules["loner_of_the_tests"]

    args, kwargs, embed = decode(payload, "cereal-pickle")
    shown = repr(args), repr(kwargs), repr(embed), kombu_json([args, kwargs])
    piped = pickle.dumps((args, kwargs, embed))

    assert "loner_of_the_tests" not in sys.modules
    assert shown[0] == ("({'loner': ['<loner_of_the_tests.Loner>'], 'order': '<shop.Order 5>'},)")
    assert shown[1] == "{'again': '<loner_of_the_tests.Loner>'}"
    args, kwargs, _ = pickle.loads(piped)
    assert "loner_of_the_tests" not in sys.modules
    (result,), _ = unpack(args, kwargs)
    assert "loner_of_the_tests" in sys.modules
    assert result["loner"][0].order is result["order"]


def test_an_unknown_class_fails_when_arguments_are_unpacked(loner: Any, tmp_path: Path) -> None:
    payload = encode(call_body([loner(1)]), "cereal-pickle")
    del sys.modules["loner_of_the_tests"]
    (tmp_path / "loner_of_the_tests.py").unlink()
    importlib.invalidate_caches()
    sys.path_importer_cache.clear()

    args, kwargs, _ = decode(payload, "cereal-pickle")

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value) == (
        "The arguments of a message cannot be read: ModuleNotFoundError: No module named "
        "'loner_of_the_tests'. Either the message was damaged on its way, or this process does "
        "not have a class that it contains."
    )


def test_instances_inside_other_objects_are_fetched(django_assert_num_queries: Any) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip("cereal-pickle", [Box({"deep": [Box(order)]}), order])
    Order.objects.update(status="paid")

    with django_assert_num_queries(1):
        (box, value), _ = unpack(args, kwargs)

    assert box.content["deep"][0].content is value
    assert value.status == "paid"


def test_a_container_with_an_unreadable_blob_can_be_shown() -> None:
    payload = encode(call_body(["x"], {"a": 1}), "cereal-json")
    args, kwargs, _ = decode(payload[:-2], "cereal-json")

    assert repr(args) == "('<unreadable message>',)"
    assert repr(kwargs) == "{}"


def test_a_monitor_that_reads_the_arguments_before_the_task_gets_references(
    name: str, django_assert_num_queries: Any
) -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip(name, [order, 1], {"this": order})

    with django_assert_num_queries(0):
        assert list(args) == [ModelReference.of(order), 1]

    with django_assert_num_queries(1):
        assert unpack(args, kwargs) == ((order, 1), {"this": order})


def test_sentry_sees_references(name: str, django_assert_num_queries: Any) -> None:
    order = Order.objects.create(pk=5)
    args, kwargs, _ = trip(name, [order], {"this": order})
    unpack(args, kwargs)

    with django_assert_num_queries(0):
        assert type(args).__sentry_repr__(args) == "('<shop.Order 5>',)"
        assert type(kwargs).__sentry_repr__(kwargs) == "{'this': '<shop.Order 5>'}"


def test_a_list_in_front_of_the_arguments_gives_a_list(name: str) -> None:
    args, _, _ = trip(name, ["a", 1])

    assert [0] + args == [0, "a", 1]  # noqa: RUF005
