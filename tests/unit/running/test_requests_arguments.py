"""Arguments in requests and containers: how they are changed, copied and pickled."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import pytest
from celery.app.task import Context
from kombu.utils.json import dumps as kombu_json

from cereal_methods.exceptions import InvalidMessage
from cereal_methods.rows.lazy import LazyRow
from cereal_methods.rows.reference import ModelReference
from cereal_methods.running.json_arguments import JSONArgs, JSONKwargs, json_arguments
from cereal_methods.running.message import sent_arguments_of
from cereal_methods.running.plan import Part
from cereal_methods.running.policy import RowPolicy
from cereal_methods.running.request_arguments import change_arguments, set_this
from cereal_methods.running.text import row_in, row_of
from tests.shop.models import Order

from ..bodies import call_body, decode, encode, plain, running, stored, trip

REFERENCE = ModelReference("shop.Order", 5, "default")


def lazy() -> Any:
    return LazyRow(REFERENCE, mock.Mock())


def test_json_arguments_are_written_with_plain_forms() -> None:
    args, kwargs = json_arguments([lazy()]), json_arguments({"this": lazy()})

    written = '{"cereal_methods.reference": ["shop.Order", 5, "default"]}'
    assert kombu_json([args, kwargs]) == f'[[{written}], {{"this": {written}}}]'
    assert (args.__json__(), kwargs.__json__()) == (
        [REFERENCE.as_plain()],
        {"this": REFERENCE.as_plain()},
    )
    assert repr((args, kwargs)) == "(['<shop.Order 5>'], {'this': '<shop.Order 5>'})"


def test_json_arguments_are_pickled_as_plain_containers() -> None:
    copies = pickle.loads(pickle.dumps((JSONArgs([1]), JSONKwargs(a=1))))

    assert copies == ([1], {"a": 1})
    assert [type(part) for part in copies] == [list, dict]


def test_arguments_of_other_types_are_unchanged() -> None:
    request = Context(args=iter([1]), kwargs=None)

    change_arguments(request, str)
    set_this(request, 5)

    assert next(request.args) == 1
    assert request.kwargs is None


def test_arguments_without_this_stay_without_it() -> None:
    request = Context(args=(1,), kwargs={"a": 1})

    change_arguments(request, str)
    set_this(request, 5)

    assert (request.args, request.kwargs) == (["1"], {"a": "1"})


def test_arguments_of_another_serializer_are_sent_again_with_references() -> None:
    request = Context(args=[lazy()], kwargs={"a": 1})

    assert sent_arguments_of(request) == ([REFERENCE], {"a": 1}, None)


@pytest.mark.django_db
def test_decoded_arguments_are_pickled_as_decoded() -> None:
    order = Order.objects.create()
    args, kwargs, _ = trip("cereal-json", [order], {"a": 1})

    with running(plain, args, kwargs):
        assert [*args] == [order]
        copies = pickle.loads(pickle.dumps((args, kwargs)))

    assert [type(part) for part in copies] == [list, dict]
    assert copies[0] == [order]


def test_a_list_can_be_added_in_front_of_arguments() -> None:
    args, _, _ = trip("cereal-json", [1])

    assert [0] + args == [0, 1]  # noqa: RUF005  (it is what is tested)


def unreadable() -> Any:
    payload = encode(call_body([stored(Order, pk=5)], {"a": 1}), "cereal-json")
    header, newline, rest = payload.partition("\n")
    return decode(f"{header}{newline}{'x' * len(rest)}", "cereal-json")


@pytest.mark.parametrize("task", [plain, Order.ship.task], ids=["another's", "ours"])
def test_unreadable_arguments_fail_when_they_are_unpacked(task: Any) -> None:
    args, kwargs, _ = unreadable()

    with (
        running(task, args, kwargs),
        mock.patch("cereal_methods.running.arguments.is_called_by_celery", return_value=True),
        mock.patch("cereal_methods.running.unpacking.fetch_or_retry", return_value=[1]),
    ):
        for _ in range(2):
            with pytest.raises(InvalidMessage):
                print(*args)
            with pytest.raises(InvalidMessage):
                print(*kwargs.keys())


def test_a_batch_counts_a_deleted_row_as_missing() -> None:
    with pytest.raises(Order.DoesNotExist):
        Part(RowPolicy(), {REFERENCE: None}).fetch({REFERENCE: None}, {})


@pytest.mark.django_db
def test_rows_that_a_batch_has_fetched_are_not_fetched_again(
    django_assert_num_queries: Any,
) -> None:
    order, other = Order.objects.create(), Order.objects.create()
    first, second = ModelReference.of(order), ModelReference.of(other)
    fetched: dict[Any, Any] = {}

    with django_assert_num_queries(1):
        rows = Part(RowPolicy(), {first: None, second: None}).fetch({first: order}, fetched)

    assert rows == fetched == {first: order, second: other}
    assert rows[first] is order


@pytest.mark.parametrize(
    ("kwargs", "model", "text"),
    [
        ({"this": Order()}, None, "<shop.Order None>"),
        ({"this": "no key"}, Order, "None"),
        ({"this": 5}, Order, "<shop.Order 5>"),
        ({"this": 5}, None, "5"),
    ],
    ids=["unsaved", "invalid", "key", "key of nobody"],
)
def test_a_row_has_a_text_in_any_form(kwargs: Any, model: Any, text: str) -> None:
    assert repr(row_in(kwargs, model)) == text


def test_without_a_task_there_is_no_row() -> None:
    assert row_of(None) is None
