"""Arguments that do not fit a method: the error counts only what the caller wrote."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from celery.utils.functional import arity_greater

from cereal_methods import model_task
from tests.shop.models import Order, Stamped

from ..bodies import stored
from ..shops import forgetting

Sent = Callable[[], list[Any]]

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]


class Pallet(Stamped):
    """A model with parameters of every kind."""

    class Meta:
        app_label = "shop"

    @model_task
    def move(self, to: str, speed: int = 1, *, note: str) -> None: ...

    @model_task(bind=True)
    def move_bound(self, task: Any, to: str, speed: int = 1, *, note: str) -> None: ...

    @model_task
    def lift(self, height: int, /, by: str = "") -> None: ...

    @model_task
    def carry(self, *others: Any, **named: Any) -> None: ...

    @model_task
    def clash(self, more: Any, fail: Any, len: Any = None) -> None: ...  # noqa: A002

    @model_task(typing=False)
    def unchecked(self) -> None: ...

    @model_task
    def expire(self, expires: int) -> None: ...

    @model_task
    @classmethod
    def count(cls, n: int) -> None: ...

    @model_task(bind=True)
    @classmethod
    def count_bound(cls, task: Any, n: int) -> None: ...


pallets = forgetting("pallet")


@pytest.fixture
def pallet() -> Any:
    """A row that seems to be in the database."""
    return stored(Pallet, pk=5)


def error_of(call: Callable[[], Any]) -> str:
    """Return the message of the TypeError that a call raises, which hides no other error."""
    with pytest.raises(TypeError) as caught:
        call()
    assert type(caught.value) is TypeError
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("move", (), {}, "missing 1 required positional argument: 'to'"),
    ("move", ("x",), {}, "missing 1 required keyword-only argument: 'note'"),
    ("move", (1, 2, 3), {"note": ""}, "takes from 1 to 2 positional arguments but 3 were given"),
    ("move", (1, 2, 3, 4), {"note": 1}, "takes from 1 to 2 positional arguments but 4 were given"),
    ("move", (1,), {"to": 1, "note": ""}, "got multiple values for argument 'to'"),
    ("move", (1,), {"not": ""}, "got an unexpected keyword argument 'not'"),
    ("lift", (1, 2, 3), {}, "takes from 1 to 2 positional arguments but 3 were given"),
    ("lift", (), {"height": 1}, "got some positional-only arguments passed as keyword arguments"),
    ("carry", (), {}, ""),
    ("clash", (1,), {}, "missing 1 required positional argument: 'fail'"),
    ("clash", (), {}, "missing 2 required positional arguments: 'more' and 'fail'"),
    ("clash", (1, 2, 3, 4), {}, "takes from 2 to 3 positional arguments but 4 were given"),
    ("stamp", (1, 2), {}, "takes 1 positional argument but 2 were given"),
]
WRONG += [("move_bound", *case[1:]) for case in WRONG if case[0] == "move"]

WAYS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "delay": lambda task, args, kwargs: task.delay(*args, **kwargs),
    "apply_async": lambda task, args, kwargs: task.apply_async(args, kwargs),
    "apply_async_on_commit": lambda task, args, kwargs: task.apply_async_on_commit(args, kwargs),
    "s": lambda task, args, kwargs: task.s(*args, **kwargs).delay(),
    "chain": lambda task, args, kwargs: (task.s(*args, **kwargs) | task.s()).delay(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "args", "kwargs", "message"), WRONG)
def test_arguments_on_an_instance_are_counted_without_self(
    way: str, name: str, args: Any, kwargs: Any, message: str, pallet: Any, sent: Sent
) -> None:
    owner = "Stamped" if name == "stamp" else "Pallet"
    if not message:
        WAYS[way](getattr(pallet, name), args, kwargs)
        return

    # Python 3.13 adds a suggestion for a keyword that is like another: "Did you mean 'note'?"
    error = error_of(lambda: WAYS[way](getattr(pallet, name), args, kwargs))

    assert error.startswith(f"{owner}.{name}() {message}")
    assert "this" not in error
    assert sent() == []


# Except that Python counts keyword-only arguments here, of which there are not too many.
AND_KEYWORDS = " positional arguments (and 1 keyword-only argument)"


@pytest.mark.parametrize("way", ["delay", "apply_async", "apply_async_on_commit"])
@pytest.mark.parametrize(("name", "args", "kwargs", "message"), WRONG)
def test_the_error_on_the_class_is_pythons(
    way: str, name: str, args: Any, kwargs: Any, message: str, pallet: Any, sent: Sent
) -> None:
    method = getattr(Pallet, name)
    if not message:
        return

    expected = error_of(lambda: method(pallet, *args, **kwargs))
    if name == "move_bound":  # of which Python counts the task as well
        expected = error_of(lambda: Pallet.move(pallet, *args, **kwargs)).replace("move", name)

    assert error_of(lambda: WAYS[way](method, (pallet, *args), kwargs)) == (
        expected.replace(AND_KEYWORDS, "")
    )
    assert sent() == []


@pytest.mark.parametrize("name", ["count", "count_bound"])
def test_arguments_of_a_class_method_are_counted(name: str, sent: Sent) -> None:
    assert error_of(lambda: getattr(Pallet, name).delay(1, 2)) == (
        f"Pallet.{name}() takes 1 positional argument but 2 were given"
    )
    assert sent() == []


def test_arguments_of_a_bulk_are_counted_without_its_rows(sent: Sent) -> None:
    assert error_of(lambda: Pallet.move.bulk_delay([5], 1, 2, 3, note="")) == (
        "Pallet.move() takes from 1 to 2 positional arguments but 3 were given"
    )
    assert error_of(lambda: Pallet.move.bulk_delay([5])) == (
        "Pallet.move() missing 1 required positional argument: 'to'"
    )
    assert sent() == []


def test_arguments_without_typing_are_not_checked(pallet: Any, sent: Sent) -> None:
    pallet.unchecked.delay(1, 2)

    assert len(sent()) == 1


def test_an_unrelated_type_error_is_unchanged(pallet: Any) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise TypeError("of something else") from LookupError("that has a cause")

    with (
        mock.patch.object(type(Pallet.stamp.task), "apply_async", fail),
        pytest.raises(TypeError, match=r"^of something else$") as caught,
    ):
        Pallet.stamp.delay(pallet, "x")

    assert isinstance(caught.value.__cause__, LookupError)


SENDING = "which is an option of sending. Write"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda row: row.move.delay("x", note="", countdown=5),
            f"'countdown', {SENDING} Pallet.move.apply_async(args, kwargs, countdown=5).",
        ),
        (
            lambda row: row.stamp.delay("x", countdown=5, queue="slow"),
            f"'countdown', {SENDING} Stamped.stamp.apply_async(args, countdown=5, queue=...).",
        ),
        (
            lambda row: Pallet.stamp.delay(row, "x", expires=60),
            f"'expires', {SENDING} Stamped.stamp.apply_async(args, expires=60).",
        ),
        (
            lambda row: row.stamp.delay_on_commit("x", robust=True),
            f"'robust', {SENDING} Stamped.stamp.apply_async_on_commit(args, robust=True).",
        ),
        (
            lambda row: Pallet.stamp.bulk_delay([5], "x", batch_size=5),
            f"'batch_size', {SENDING} Stamped.stamp.bulk_apply_async(rows, args, batch_size=5).",
        ),
        (
            lambda row: Pallet.stamp.bulk_delay_on_commit([5], "x", batch_size=5),
            f"'batch_size', {SENDING} "
            "Stamped.stamp.bulk_apply_async_on_commit(rows, args, batch_size=5).",
        ),
        (
            lambda row: Order.ship.bulk_s("all", "dhl", batch_size=5),
            f"'batch_size', {SENDING} Order.ship.bulk_signature(rows, args, batch_size=5).",
        ),
    ],
)
def test_an_option_of_sending_among_the_arguments_is_named(
    call: Callable[[Any], Any], message: str, pallet: Any, sent: Sent
) -> None:
    owner = message.partition("Write ")[2].partition(".")[0]
    name = "ship" if owner == "Order" else "stamp" if owner == "Stamped" else "move"

    assert error_of(lambda: call(pallet)) == (
        f"{owner}.{name}() got an unexpected keyword argument {message}"
    )
    assert sent() == []


def test_a_parameter_may_be_named_as_an_option(pallet: Any, sent: Sent) -> None:
    pallet.expire.delay(expires=5)
    pallet.carry.delay(countdown=5)
    Pallet.carry.bulk_delay([5], batch_size=5)

    assert [message.headers["expires"] for message in sent()] == [None, None, None]


def test_sending_one_row_does_not_take_options_of_bulks(pallet: Any) -> None:
    error = error_of(lambda: pallet.stamp.delay("x", batch_size=5))

    assert error.startswith("Stamped.stamp() got an unexpected keyword argument 'batch_size'")
    assert "sending" not in error


def test_an_errback_is_called_by_the_number_of_its_arguments() -> None:
    # Celery asks the header; and calls no bound task in place, by the header's type.
    assert arity_greater(Order.on_error.task.__header__, 1)
    assert not arity_greater(Order.on_error_id.task.__header__, 1)
    assert isinstance(Pallet.move_bound.task.__header__, functools.partial)


def test_checking_arguments_calls_one_function(pallet: Any) -> None:
    check = Pallet.move.task.__header__  # type: ignore[attr-defined]
    calls: list[str] = []

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            calls.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        check("x", 2, note="", this=None)
    finally:
        sys.setprofile(None)

    assert calls == ["header"]
