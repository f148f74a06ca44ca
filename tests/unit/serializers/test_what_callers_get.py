"""The errors that a caller gets where a message cannot be written."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from celery import shared_task
from kombu.exceptions import EncodeError

from cereal_methods import task
from cereal_methods.exceptions import (
    CerealError,
    EncodingFailed,
    SerializerNotAccepted,
    UnsavedInstance,
    UnsupportedKey,
    UnsupportedValue,
)
from tests.celery import app
from tests.shop.models import Order

from ..bodies import FORMATS, encode, stored

pytestmark = pytest.mark.django_db(databases=["default", "archive"])

Sent = Callable[[], list[Any]]


@shared_task
def plain(*args: Any, **kwargs: Any) -> None:
    """Take anything, as a task of somebody else's."""


@task
def function(*args: Any, **kwargs: Any) -> None:
    """Take anything, as a ``@task``."""


@pytest.fixture(autouse=True)
def backend() -> None:
    """Make the result backend before settings change, as it keeps those of its first use."""
    assert app.backend.accept


@pytest.fixture(params=FORMATS)
def name(request: pytest.FixtureRequest, settings: Any) -> str:
    """The name of each format in turn, as that of tasks which name none."""
    format_name: str = request.param
    settings.CELERY_TASK_SERIALIZER = format_name
    return format_name


def ways(name: str) -> dict[str, Callable[..., Any]]:
    """Return ways of sending something in a serializer."""
    order = stored(Order, pk=5)
    return {
        "method": lambda *args: order.trace.apply_async(args, serializer=name),
        "@task": lambda *args: function.apply_async(args, serializer=name),
        "task": lambda *args: plain.apply_async(args, serializer=name),
        "send_task": lambda *args: app.send_task(plain.name, args, serializer=name),
        "signature": lambda *args: plain.s(*args).set(serializer=name).delay(),
        "chain": lambda *args: (
            plain.s(*args).set(serializer=name) | plain.s().set(serializer=name)
        ).delay(),
    }


def test_the_caller_gets_the_error_of_a_serializer_that_is_not_accepted(
    name: str, sent: Sent, settings: Any
) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json", "pickle"]

    for send in ways(name).values():
        with pytest.raises(SerializerNotAccepted) as caught:
            send("dhl")
        assert not isinstance(caught.value, EncodeError)
        assert caught.value.about == name
        assert str(caught.value) == (
            f"Workers would drop this message: accept_content lacks {name!r}. Add to Django's "
            f"settings: CELERY_ACCEPT_CONTENT = ['json', {name!r}]"
        )
    assert sent() == []


def test_a_caller_is_never_told_to_accept_plain_pickle(sent: Sent) -> None:
    with pytest.raises(SerializerNotAccepted) as caught:
        stored(Order, pk=5).trace.apply_async(("dhl",), serializer="pickle")

    assert str(caught.value) == (
        "Workers would drop this message: accept_content lacks 'pickle', as it should, because "
        "plain pickle runs the sender's code. Use serializer='cereal-pickle'."
    )
    assert sent() == []


def test_a_task_that_cannot_send_another_fails_with_the_reason(settings: Any) -> None:
    settings.CELERY_ACCEPT_CONTENT = ["json"]

    @shared_task(name="tests.sends", bind=True)
    def sends(self: Any) -> None:
        plain.apply_async((1,), serializer="cereal-json")

    result = sends.apply()

    with pytest.raises(SerializerNotAccepted):
        result.get()


def test_what_cannot_be_written_is_the_cause(name: str, sent: Sent) -> None:
    for way, send in ways(name).items():
        with pytest.raises(CerealError) as caught:
            send(Order())
        error: Any = caught.value
        if way == "method":  # which finds it before there is a message
            assert type(error) is UnsavedInstance
        else:
            assert type(error) is EncodingFailed
            assert isinstance(error, EncodeError)
            assert type(error.__cause__) is UnsavedInstance
            assert error.about == "shop.Order"
            assert str(error) == str(error.__cause__)
            assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert sent() == []


def test_a_value_that_cannot_be_written_is_the_cause(name: str, sent: Sent) -> None:
    for send in ways(name).values():
        with pytest.raises(EncodeError) as caught:
            send(lambda: None)
        assert type(caught.value.__cause__) is UnsupportedValue
    assert sent() == []


def test_a_key_that_cannot_be_written_is_the_cause(name: str) -> None:
    order = stored(Order, pk=5)
    queryset = Order.objects.values("pk")

    with pytest.raises(EncodeError) as caught:
        function.apply_async((order, queryset), serializer=name)

    assert type(caught.value.__cause__) is UnsupportedKey


def circular() -> Any:
    data: list[Any] = []
    data.append({"a": data})
    return data


def deep() -> Any:
    data: list[Any] = []
    for _ in range(10_000):
        data = [data]
    return data


@pytest.mark.parametrize("make", [circular, deep])
def test_arguments_without_an_end_are_refused_by_methods(
    name: str, make: Callable[[], Any], sent: Sent
) -> None:
    order, data = stored(Order, pk=5), make()
    method = order.trace

    for send in (
        lambda: method.delay(data),
        lambda: method.delay(data=data),
        lambda: method.apply_async((data,), serializer=name),
        lambda: method.s(data),
        lambda: method.si(data=data),
        lambda: method.signature((data,)),
        lambda: method.delay_on_commit(data),
        lambda: method.apply((data,)),
        lambda: Order.trace.delay(order, data),
        lambda: Order.trace.bulk_delay([order], data),
        lambda: Order.trace.bulk_apply_async([order], (data,), batch_size=5),
        lambda: Order.trace.group([order], data),
    ):
        with pytest.raises(UnsupportedValue) as caught:
            send()
        assert str(caught.value) == (
            "A task's arguments cannot be nested this deeply, or contain themselves."
        )
    assert sent() == []


def test_data_nested_too_deeply_is_refused_by_tasks(name: str, sent: Sent) -> None:
    for way, send in ways(name).items():
        with pytest.raises(CerealError) as caught:
            send(deep())
        error = caught.value if way == "method" else caught.value.__cause__
        assert type(error) is UnsupportedValue
    assert sent() == []


def test_a_result_that_cannot_be_written_is_the_cause(name: str) -> None:
    with pytest.raises(EncodingFailed) as caught:
        encode({"status": "SUCCESS", "result": [Order(), datetime.date(2026, 1, 1)]}, name)

    assert type(caught.value.__cause__) is UnsavedInstance
