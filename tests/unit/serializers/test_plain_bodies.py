"""Bodies without references: what kombu's own serializers write, byte for byte, and read."""

from __future__ import annotations

import datetime
import decimal
import json
import pickle
import sys
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any
from unittest import mock

import msgpack
import pytest
import yaml
from celery.exceptions import SoftTimeLimitExceeded
from kombu.exceptions import DecodeError
from kombu.serialization import registry

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage, SignatureMismatch
from cereal_methods.running.arguments import LazyArgs
from tests.celery import app
from tests.shop import tasks
from tests.shop.models import Order

from ..bodies import KOMBUS, NO_EMBED, call_body, consume, decode, encode, stored, unpack

NOW = datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC)
ORDER = ModelReference("shop.Order", 5, "default")
STEP = {"task": "shop.next", "args": ["a"], "kwargs": {"this": ORDER.as_plain()}, "options": {}}
SHARED = ["dhl"]

VALUES: dict[str, Any] = {
    "call": call_body(["dhl", 1, 2.5, None, True, "größe"], {"a": {"b": [1, (2, 3)]}}),
    "nothing": call_body(),
    "canvas": call_body([1], callbacks=[STEP], chain=[STEP, STEP], chord=STEP),
    "shared": call_body([SHARED, SHARED], {"a": SHARED}),
    "lookalike": call_body([{"$ref": 0}, "$ref"], {"cereal_methods.reference": 1}),
    "key": call_body(["dhl"], {"this": 5}),
    "record": {"status": "SUCCESS", "result": {"a": [1]}, "traceback": None, "children": []},
    "header": {"cereal": 1},
    "headers": {"cereal": 1, "call": 2, "refs": [], "result": 5},
    "header of text": '{"cereal":1,"call":2}\n[]',
    "123": 123,
    "text": "größe\n",
    "none": None,
    "list": [1, "5", "SUCCESS", [None]],
    "pair": [["dhl"], {}],
}


@pytest.fixture(params=KOMBUS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each unsigned format in turn."""
    format_name: str = request.param
    return format_name


def test_a_body_without_references_equals_kombus(name: str) -> None:
    for kind, value in VALUES.items():
        payload = encode(value, name)

        assert payload == encode(value, KOMBUS[name]), kind
        assert type(payload) is type(encode(value, KOMBUS[name]))
        decoded = decode(payload, name)
        assert decoded == decode(payload, KOMBUS[name]), kind
        assert type(decoded) is type(decode(payload, KOMBUS[name]))


@pytest.mark.parametrize(
    "value",
    [NOW, NOW.date(), NOW.time(), decimal.Decimal("9.90"), uuid.UUID(int=5), b"\x00\xff", "x" * 99],
    ids=repr,
)
def test_values_of_kombus_json_are_written_as_kombu_writes_them(value: Any) -> None:
    payload = encode(call_body([value], {"a": [value]}), "cereal-json")

    assert payload == encode(call_body([value], {"a": [value]}), "json")
    assert decode(payload, "cereal-json") == decode(payload, "json")


def test_other_libraries_read_a_body_without_references() -> None:
    value = call_body(["dhl", 1], {"a": None})
    expected = [["dhl", 1], {"a": None}, NO_EMBED]

    assert json.loads(encode(value, "cereal-json")) == expected
    assert yaml.safe_load(encode(value, "cereal-yaml")) == expected
    assert msgpack.unpackb(encode(value, "cereal-msgpack")) == expected
    assert json.loads(encode(VALUES["record"], "cereal-json")) == VALUES["record"]


def test_a_call_without_references_is_decoded_to_lists_and_dicts(name: str) -> None:
    decoded = consume(encode(call_body(["dhl"], {"a": 1}), name), name)

    assert decoded == [["dhl"], {"a": 1}, NO_EMBED]
    assert list(map(type, decoded)) == [list, dict, dict]


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("cereal-json", '[["dhl"],{},{}]'),
        ("cereal-json", b'[["dhl"], {}, null]'),
        ("cereal-json", '[\n  ["dhl"],\n  {},\n  {"chain": null}\n]\n'),
        ("cereal-json", ' [["dhl"],{},{}]'),
        ("cereal-yaml", '[["dhl"], {}, {}]'),
        ("cereal-yaml", "---\n- [dhl]\n- {}\n-\n"),
        ("cereal-msgpack", b"\x93\x91\xa3dhl\x80\xc0"),
    ],
)
def test_a_call_written_by_kombu_is_read(name: str, payload: Any) -> None:
    args, kwargs, embed = consume(payload, name)

    assert (args, kwargs) == (["dhl"], {})
    assert not any((embed or {}).values())


@pytest.mark.parametrize(
    "payload", ['{"cereal": 1}', '{\n "cereal": 1\n}\n', '{"cereal":"muesli"}']
)
def test_foreign_data_that_begins_like_a_header_stays_data(payload: str) -> None:
    assert decode(payload, "cereal-json") == json.loads(payload)


def test_a_result_that_was_stored_in_another_serializer_stays_readable(name: str) -> None:
    stored_before = encode(VALUES["record"], KOMBUS[name])

    assert decode(stored_before, name) == VALUES["record"]


def test_one_reference_anywhere_gives_a_body_its_header(name: str) -> None:
    deep: Any = stored(Order, pk=5)
    for _ in range(20):
        deep = {"a": [1, deep]}
    for value in (
        call_body([1, ORDER]),
        call_body([[ORDER]]),
        call_body([], {"a": {"b": deep}}),
        call_body([1], {"this": ORDER.as_plain()}),
        call_body([1], callbacks=[{**STEP, "args": [ORDER]}]),
        {"status": "SUCCESS", "result": ORDER},
        {"status": "SUCCESS", "result": [1, deep]},
        [deep],
    ):
        payload = encode(value, name)
        assert (payload if isinstance(payload, str) else payload.decode("latin-1")).startswith(
            '{"cereal":1,"refs":[["shop.Order",5,"default"]]'
        )


@pytest.mark.django_db
def test_the_rows_of_a_queryset_are_fetched_once(name: str, django_assert_num_queries: Any) -> None:
    Order.objects.create()

    with django_assert_num_queries(1):
        encode(call_body([{"a": 1}, [Order.objects.all()]]), name)


def test_only_what_precedes_the_first_reference_is_encoded_twice() -> None:
    seen = []

    class Spy:
        def __init__(self, at: str) -> None:
            self.at = at

        def __json__(self) -> str:
            seen.append(self.at)
            return self.at

    encode(call_body([Spy("plain")]), "cereal-json")
    assert seen == ["plain"]
    seen.clear()
    encode(call_body([[Spy("before"), ORDER, Spy("after")]]), "cereal-json")
    assert seen == ["before", "before", "after"]
    seen.clear()
    encode(call_body([ORDER, Spy("beside")]), "cereal-json")  # which the search for rows visits
    assert seen == ["beside"]


@pytest.mark.parametrize("name", [*KOMBUS])
def test_arguments_alone_come_through_where_tasks_run_at_once(name: str, eager: None) -> None:
    for value in ((["dhl"], {"a": 1}), ((), {}), (None, None), (["dhl"], None)):
        payload = encode(value, name)

        assert payload == encode(value, KOMBUS[name])
        args, kwargs = decode(payload, name)
        assert (args or [], kwargs or {}) == (list(value[0] or ()), value[1] or {})


@pytest.mark.parametrize("name", [*KOMBUS])
def test_a_task_without_rows_runs_at_once(name: str, eager: None) -> None:
    assert tasks.plain.apply_async((2,), {}, serializer=name).get() == tasks.plain(2)


DAMAGED: dict[str, Any] = {
    "cereal-json": '[["dhl"], {}, {"callbacks": null, "errbacks"',
    "cereal-yaml": "- - dhl\n- {}\n- callbacks: null\n  errbacks: [",
    "cereal-msgpack": b"\x93\x91\xa3dhl\x80\x84\xa9callbacks\xc0\xa8errbac",
}


@pytest.mark.parametrize("is_expected", [True, False])
def test_a_call_that_is_damaged_fails_in_its_task(name: str, is_expected: bool) -> None:
    body = (consume if is_expected else decode)(DAMAGED[name], name)

    args, kwargs, embed = pickle.loads(pickle.dumps(body))
    assert embed == NO_EMBED
    assert repr(args) == "('<unreadable message>',)"
    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value).startswith("The body of a message cannot be read: ")
    assert "dhl" not in str(caught.value)


def test_a_value_that_kombus_json_does_not_know_fails_in_the_task() -> None:
    payload = encode(call_body([{"__type__": "dhl", "__value__": 1}]), "cereal-json")

    args, kwargs, _ = decode(payload, "cereal-json")

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert "dhl" not in str(caught.value)


def nested(levels: int) -> dict[str, Any]:
    """Return calls whose only argument is lists in lists."""
    return {
        "cereal-json": f"[[{'[' * levels}{']' * levels}], {{}}, {json.dumps(NO_EMBED)}]",
        "cereal-msgpack": (
            b"\x93\x91" + b"\x91" * (levels - 1) + b"\x90\x80" + msgpack.packb(NO_EMBED)
        ),
    }


@pytest.mark.parametrize("name", ["cereal-json", "cereal-msgpack"])
def test_arguments_too_deep_for_a_consumers_pickle_wait_for_the_task(name: str) -> None:
    payload = nested(400)[name]

    args, kwargs, embed = consume(payload, name)
    assert isinstance(args, LazyArgs)
    args, kwargs, embed = pickle.loads(pickle.dumps((args, kwargs, embed)))

    assert unpack(args, kwargs) == ((decode(payload, name)[0][0],), {})
    assert embed == NO_EMBED
    assert type(consume(nested(200)[name], name)) is list


@pytest.mark.parametrize("name", ["cereal-json", "cereal-msgpack"])
@pytest.mark.parametrize("levels", [20_000, 100_000])  # of which no Python reads the first
def test_a_call_nested_too_deep_to_be_read_fails_in_its_task(name: str, levels: int) -> None:
    args, kwargs, _ = consume(nested(levels)[name], name)

    with pytest.raises(InvalidMessage) as caught:
        unpack(args, kwargs)
    assert str(caught.value).startswith("The body of a message cannot be read: ")


@pytest.mark.parametrize("name", KOMBUS)
def test_a_call_of_much_data_is_decoded_to_lists(name: str) -> None:
    value = call_body([[{"a": [index]} for index in range(300)]])

    assert consume(encode(value, name), name)[0] == list(value[0])


def test_yaml_that_contains_itself_waits_for_its_task() -> None:
    args, kwargs, _ = consume("- [&a [*a, *a]]\n- {}\n- {callbacks: null}\n", "cereal-yaml")

    assert isinstance(args, LazyArgs)
    (copies,), _ = unpack(*pickle.loads(pickle.dumps((args, kwargs))))
    assert copies[0] is copies


def test_a_result_may_be_nested_deeper() -> None:
    nested = "[" * 400 + "]" * 400

    assert decode(nested, "cereal-json") == json.loads(nested)


def test_a_result_that_is_damaged_is_refused(name: str) -> None:
    payload: Any = {
        "cereal-json": '{"status": "SUC',
        "cereal-yaml": "status: [",
        "cereal-msgpack": b"\x82\xa6sta",
    }[name]

    with pytest.raises(DecodeError) as caught:
        decode(payload, name)

    assert type(caught.value.args[0]) is InvalidMessage


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_plain_pickle_is_never_unpickled(protocol: int) -> None:
    payload = pickle.dumps(call_body(["dhl"]), protocol)

    with mock.patch("pickle.loads") as loads, pytest.raises(Exception) as caught:  # noqa: PT011
        unpack(*consume(payload, "cereal-pickle")[:2])

    assert isinstance(getattr(caught.value, "args", [None])[0], InvalidMessage) or isinstance(
        caught.value, (InvalidMessage, SignatureMismatch)
    )
    loads.assert_not_called()


def test_a_signed_body_has_its_header_without_references_too() -> None:
    payload = encode(call_body(["dhl"]), "cereal-pickle")

    assert payload[33:].startswith(b'{"cereal":1,"call":')
    assert isinstance(decode(payload, "cereal-pickle")[0], LazyArgs)


def test_arguments_in_a_record_are_plain(name: str) -> None:
    args, kwargs, _ = decode(encode(call_body([ORDER], {"a": 1}), name), name)
    record = {"status": "SUCCESS", "result": 1, "args": args, "kwargs": kwargs}

    payload = encode(record, name)

    plain = {"cereal_methods.reference": ["shop.Order", 5, "default"]}
    assert payload == encode({**record, "args": [plain], "kwargs": {"a": 1}}, name)
    assert decode(payload, KOMBUS[name])["args"] == [plain]


def test_a_plain_task_sends_what_kombu_writes(sent: Callable[[], list[Any]], name: str) -> None:
    app.send_task(tasks.plain.name, ["dhl"], {"a": 1}, serializer=name)

    (message,) = sent()
    body = message.body
    expected = encode(call_body(["dhl"], {"a": 1}), KOMBUS[name])
    assert body == (
        expected.encode() if isinstance(expected, str) and bytes is type(body) else expected
    )


def test_a_message_without_rows_costs_what_kombus_costs() -> None:
    """The work of our own code is counted, not timed: calls of Python functions."""
    value = call_body([{"a": index, "b": [index] * 3} for index in range(200)], {"c": "d" * 100})

    ours, kombus = (
        _calls_of(lambda name=name: _there_and_back(value, name))
        for name in ("cereal-json", "json")
    )

    assert ours <= kombus


def _there_and_back(value: Any, name: str) -> None:
    encoder = registry._encoders[name].encoder
    registry._decoders[registry.name_to_type[name]](encoder(value))


def _calls_of(function: Callable[[], Any]) -> int:
    function()
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


def test_a_row_among_the_keywords_gives_a_body_its_header(name: str) -> None:
    args, kwargs, _ = decode(encode(call_body([1], {"a": 2, "by": ORDER}), name), name)

    assert kwargs.with_references() == {"a": 2, "by": ORDER}
    assert args.call is kwargs.call


def test_a_pair_that_is_not_a_call_is_a_result_in_eager_mode(name: str, eager: None) -> None:
    assert decode(encode(("one", 2), name), name) == ["one", 2]


def test_a_result_with_a_row_is_not_a_call(name: str) -> None:
    payload = encode({"status": "SUCCESS", "result": ORDER}, name)

    with pytest.raises(DecodeError, match="The message is the result of a task, not a call"):
        consume(payload, name)


def test_a_time_limit_while_a_plain_body_is_decoded_is_not_an_unreadable_message(name: str) -> None:
    payload = encode(call_body([1]), name)
    body_format = import_module(f"cereal_methods.serializers.{KOMBUS[name]}").FORMAT

    with (
        mock.patch.object(type(body_format), "decode_plain", side_effect=SoftTimeLimitExceeded),
        pytest.raises(SoftTimeLimitExceeded),
    ):
        body_format.loads(payload)
