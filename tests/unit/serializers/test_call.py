"""A message's call: decoded once, with lazy rows, fetched rows or references."""

from __future__ import annotations

import pickle
from typing import Any
from unittest import mock

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidMessage
from cereal_methods.rows.lazy import is_lazy
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.serializers.call import Call
from tests.shop.models import Customer, Order

from ..bodies import call_body, decode, encode, running, stored, trip
from ..bodies import plain as plain_task
from ..values import Box

ORDER = ModelReference("shop.Order", 5, "default")
CUSTOMER = ModelReference("shop.Customer", 7, "default")
ROWS = QuerySetReference("shop.Order", (5, 6), "default")


def call_of(name: str, args: Any = (), kwargs: Any = None) -> Call:
    """Return the call of a message."""
    call: Call = trip(name, args, kwargs)[0].call
    return call


def damaged() -> Call:
    """Return a call whose arguments cannot be decoded."""
    payload = encode(call_body([stored(Order, pk=5)]), "cereal-json")
    call: Call = decode(payload.replace("[[{", "[[["), "cereal-json")[0].call
    return call


def test_self_alone_is_a_reference(name: str) -> None:
    call = call_of(name, ["dhl"], {"this": ORDER})

    assert call.lazy_arguments() == (["dhl"], {"this": ORDER})
    assert type(call.lazy_arguments()[1]["this"]) is ModelReference
    assert not call.names_rows()


def test_self_beside_other_rows_is_lazy(name: str) -> None:
    call = call_of(name, [CUSTOMER], {"this": ORDER})

    (customer,), kwargs = call.lazy_arguments()

    assert is_lazy(customer)
    assert is_lazy(kwargs["this"])
    assert call.names_rows()
    assert call.references() == [ORDER, CUSTOMER]


def test_self_that_is_named_again_is_one_lazy_row(name: str) -> None:
    call = call_of(name, [ORDER], {"this": ORDER})

    (order,), kwargs = call.lazy_arguments()

    assert is_lazy(order)
    assert kwargs["this"] is order


def test_the_rows_of_a_batch_are_a_reference(name: str) -> None:
    call = call_of(name, [CUSTOMER], {"this": ROWS})

    _, kwargs = call.lazy_arguments()

    assert kwargs["this"] == ROWS
    assert call.own_reference() == ROWS


def test_a_batch_of_one_row_is_a_call_for_that_row(name: str) -> None:
    call = call_of(name, [], {"this": QuerySetReference("shop.Order", (5,), "default")})

    assert call.own_reference() == ORDER
    assert call.references() == [ORDER]


def test_a_call_without_self_has_no_reference_of_it(name: str) -> None:
    call = call_of(name, [ORDER])

    assert call.own_reference() is None
    assert call.names_rows()


def test_arguments_are_decoded_once(name: str) -> None:
    call = call_of(name, [["dhl"], ORDER])

    first = call.lazy_arguments()

    assert call.lazy_arguments() is first
    assert call.holds(first[0][0])
    assert not call.holds(["dhl"])


def test_fetched_rows_take_the_place_of_references(name: str) -> None:
    order, customer = stored(Order, pk=5), stored(Customer, pk=7)
    call = call_of(name, [customer], {"this": order})

    assert call.resolve({ORDER: order, CUSTOMER: customer})

    (value,), kwargs = call.lazy_arguments()
    assert value is customer
    assert kwargs["this"] is order
    assert call.rebuilt_on({}) == {}


def test_arguments_that_were_read_are_not_decoded_with_fetched_rows(name: str) -> None:
    call = call_of(name, [CUSTOMER], {"this": ORDER})
    before = call.lazy_arguments()

    assert not call.resolve({ORDER: stored(Order, pk=5), CUSTOMER: stored(Customer, pk=7)})
    assert call.lazy_arguments() is before


def test_an_object_with_a_lazy_row_is_rebuilt_with_the_fetched_one() -> None:
    call = call_of("cereal-pickle", [Box(ORDER), Box(1), [CUSTOMER]])
    (box, other, _), _ = call.lazy_arguments()
    order = stored(Order, pk=5)

    rebuilt = call.rebuilt_on({ORDER: order})

    assert rebuilt.keys() == {id(box), id(other)}
    assert rebuilt[id(box)].content is order


def test_what_was_sent_has_references(name: str) -> None:
    call = call_of(name, [[CUSTOMER]], {"this": ORDER})

    assert call.sent_arguments() == ([[CUSTOMER]], {"this": ORDER})


def test_the_safe_view_has_references_and_self_first(name: str) -> None:
    call = call_of(name, [[CUSTOMER]], {"a": 1, "this": ORDER})

    args, kwargs = call.safe_view()

    assert (args, list(kwargs.items())) == ([[CUSTOMER]], [("this", ORDER), ("a", 1)])
    assert call.safe_view() == (args, kwargs)


def test_a_call_pickles_as_its_body(name: str) -> None:
    call = call_of(name, [ORDER])
    call.lazy_arguments()

    again = pickle.loads(pickle.dumps(call))

    assert again.body == call.body
    assert again.references() == [ORDER]


@pytest.mark.parametrize("read", ["lazy_arguments", "names_rows", "sent_arguments"])
def test_arguments_that_cannot_be_decoded_raise(read: str) -> None:
    with pytest.raises(InvalidMessage):
        getattr(damaged(), read)()


def test_the_error_of_arguments_that_cannot_be_decoded_is_kept() -> None:
    call = damaged()

    with pytest.raises(InvalidMessage) as caught:
        call.lazy_arguments()

    assert call.failed_with(caught.value)
    assert not call.failed_with(InvalidMessage())
    with pytest.raises(InvalidMessage):
        call.sent_arguments()


def test_the_safe_view_of_arguments_that_cannot_be_decoded_says_so() -> None:
    assert damaged().safe_view() == (["<unreadable message>"], {})


def test_a_time_limit_while_decoding_is_not_an_unreadable_message() -> None:
    call = call_of("cereal-json", [ORDER])

    with (
        mock.patch.object(type(call.decoder), "decode", side_effect=SoftTimeLimitExceeded),
        pytest.raises(SoftTimeLimitExceeded),
    ):
        call.lazy_arguments()

    assert call.error is None


def test_an_error_before_the_function_is_raised_until_the_task_has_failed() -> None:
    call, error = call_of("cereal-json", [ORDER]), InvalidMessage("unreadable")
    call.check()
    call.fail_with(error)

    with pytest.raises(InvalidMessage):
        call.check()
    try:
        raise error
    except InvalidMessage:
        call.check()  # as on_failure does, which Celery calls while it handles the error
    call.has_failed = True
    call.check()


def test_a_task_runs_the_call_of_its_arguments() -> None:
    args, kwargs, _ = trip("cereal-json", [ORDER])
    call = args.call

    assert not call.is_running(None)
    with running(plain_task, args, kwargs):
        assert call.is_running(plain_task)
    with running(plain_task, list(args), kwargs):
        assert call.is_running(plain_task)
    with running(plain_task, (), {}):
        assert not call.is_running(plain_task)
    with running(plain_task, *trip("cereal-json", [ORDER])[:2]):
        assert not call.is_running(plain_task)
