"""Values and bodies that a serializer cannot carry."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods.exceptions import UnsavedInstance, UnsupportedValue
from tests.shop.models import Order

from ..bodies import call_body, refusal, stored, trip, unpack

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


def test_an_unsaved_instance_is_refused(name: str) -> None:
    error = refusal(call_body([{"orders": [Order()]}]), name)

    assert str(error).startswith("This shop.Order has no row in the database: ")
    assert type(error) is UnsavedInstance


class Unknown:
    """A value that no format carries."""

    def __reduce__(self) -> Any:
        raise TypeError("it is a secret")


@pytest.mark.parametrize(
    ("name", "message", "about"),
    [
        (
            "cereal-pickle",
            "cereal-pickle cannot carry this value: it is a secret. Pass the data that it is made "
            "from.",
            None,
        ),
        (
            "cereal-json",
            "cereal-json cannot carry this value: Object of type Unknown is not JSON serializable."
            " Convert it, or send the task with serializer='cereal-pickle'.",
            None,
        ),
        (
            "cereal-yaml",
            "cereal-yaml cannot carry a value of type Unknown. Convert it, or send the task with "
            "serializer='cereal-pickle'.",
            Unknown,
        ),
        (
            "cereal-msgpack",
            "cereal-msgpack cannot carry a value of type Unknown. Convert it, or send the task "
            "with serializer='cereal-pickle'.",
            Unknown,
        ),
    ],
)
def test_a_value_that_the_format_cannot_carry_is_refused(
    name: str, message: str, about: Any
) -> None:
    error = refusal(call_body([{"values": [Unknown()]}]), name)

    assert str(error) == message
    assert type(error) is UnsupportedValue
    assert error.about is about


def test_a_local_function_is_refused_by_pickle() -> None:
    error = refusal(call_body([lambda: None]), "cereal-pickle")

    assert type(error) is UnsupportedValue
    assert str(error).startswith("cereal-pickle cannot carry this value: ")
    assert "lambda" in str(error)
    assert str(error).endswith(". Pass the data that it is made from.")


def test_a_number_too_large_for_msgpack_is_refused() -> None:
    error = refusal(call_body([2**64]), "cereal-msgpack")

    assert str(error) == (
        "cereal-msgpack cannot carry a value of type int. Convert it, or send the task with "
        "serializer='cereal-pickle'."
    )


@pytest.mark.parametrize("name", ["cereal-json", "cereal-msgpack"])
def test_data_that_contains_itself_is_refused(name: str) -> None:
    data: list[Any] = [stored(Order, pk=5)]
    data.append(data)

    error = refusal(call_body([data]), name)

    assert type(error) is UnsupportedValue
    reasons = {
        "cereal-json": "this value: Circular reference detected. Convert it, or send the task with "
        "serializer='cereal-pickle'.",
        "cereal-msgpack": "data that is nested this deeply, or that contains itself.",
    }
    assert str(error) == f"{name} cannot carry {reasons[name]}"


@pytest.mark.parametrize("name", ["cereal-pickle", "cereal-yaml"])
def test_data_that_contains_itself_arrives_unchanged_in_pickle(name: str) -> None:
    order = Order.objects.create()
    data: list[Any] = [order]
    data.append(data)

    args, kwargs, _ = trip(name, [data])
    (value,), _ = unpack(args, kwargs)

    assert value[0] == order
    assert value[1] is value


def test_data_nested_too_deeply_is_refused(name: str) -> None:
    data: list[Any] = [stored(Order, pk=5)]
    for _ in range(100_000):
        data = [data]

    error = refusal(call_body([data]), name)

    assert type(error) is UnsupportedValue
    expected = {
        "django_cereal_pickle": "cereal-pickle cannot carry data that is nested this deeply, or "
        "that contains itself.",
    }
    assert str(error) == expected.get(
        name, f"{name} cannot carry data that is nested this deeply, or that contains itself."
    )


def test_protocol_1_is_refused(name: str) -> None:
    body = {"task": "shop.ship", "id": "1", "args": [stored(Order, pk=5)], "kwargs": {}}

    error = refusal(body, name)

    assert str(error) == (
        "Message protocol 1 cannot be sent with a cereal serializer. Remove CELERY_TASK_PROTOCOL "
        "from the settings: protocol 2 is Celery's default."
    )
