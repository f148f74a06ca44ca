"""Celery tasks: of functions, of methods, of any class, with any option, on any app."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Task, shared_task
from django.test import override_settings
from kombu.exceptions import EncodeError

from cereal_methods import CEREAL_JSON, CEREAL_PICKLE, model_task, task
from cereal_methods.exceptions import InvalidModelTask
from tests.celery import app
from tests.shop.models import Order

from ..bodies import stored
from ..interpreters import run_program

pytestmark = pytest.mark.django_db

Sent = Callable[[], list[Any]]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget the tasks of a test."""
    before = set(app.tasks)
    yield
    for name in set(app.tasks) - before:
        del app.tasks[name]


class Base(Task):  # type: ignore[type-arg]
    """A task class of a third party's."""

    abstract = True
    begun: list[Any] = []  # noqa: RUF012

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.begun.append((self.name, list(args)))


def numbers(order: Order, *others: Order, last: Order | None = None) -> list[str]:
    """Return the numbers of orders."""
    return [row.number for row in (order, *others, *([last] if last else []))]


def received(message: Any) -> Any:
    """Return what the task of a message returns."""
    args, kwargs, _ = message.payload
    return app.tasks[message.headers["task"]].apply(args, kwargs).get()


# functions


@pytest.mark.parametrize("decorate", [task, task()], ids=["bare", "called"])
def test_a_function_is_a_task_with_the_cereal_serializer(decorate: Any) -> None:
    decorated = decorate(numbers)

    assert decorated.name == f"{__name__}.numbers"
    assert decorated is app.tasks[decorated.name] or decorated == app.tasks[decorated.name]
    assert decorated.serializer == "cereal-pickle"
    assert decorated.__doc__ == "Return the numbers of orders."
    assert str(inspect.signature(decorated.run)) == (
        "(order: 'Order', *others: 'Order', last: 'Order | None' = None) -> 'list[str]'"
    )


def test_a_call_of_a_function_is_the_function(django_assert_num_queries: Any) -> None:
    decorated = task(numbers)

    with django_assert_num_queries(0):
        assert decorated(Order(number="unsaved")) == ["unsaved"]


def test_a_function_is_sent_with_references(sent: Sent) -> None:
    order, other = Order.objects.create(number="one"), Order.objects.create(number="two")
    task(numbers).delay(order, other, last=order)
    Order.objects.filter(pk=order.pk).update(number="changed")

    (message,) = sent()

    assert message.content_type == "application/x-cereal-pickle"
    assert received(message) == ["changed", "two", "changed"]


def test_the_setting_is_the_serializer_of_functions_and_methods(new_models: None) -> None:
    with override_settings(CEREAL_METHODS={"SERIALIZER": "cereal-json"}):
        decorated = task(numbers)
        Order.add_to_class("numbers", model_task(numbers))

        assert decorated.serializer == "cereal-json"
        assert Order.numbers.task.serializer == "cereal-json"  # type: ignore[attr-defined]


def test_the_serializer_of_a_task_overrides_the_setting() -> None:
    with override_settings(CEREAL_METHODS={"SERIALIZER": "cereal-json"}):
        assert task(serializer="cereal-yaml")(numbers).serializer == "cereal-yaml"


def test_a_function_may_be_discarded_with_its_rows() -> None:
    ghost = stored(Order, pk=5)

    assert task(on_missing="discard")(numbers).apply((ghost,)).state == "IGNORED"


def test_a_function_fails_with_its_rows_by_default() -> None:
    result = task(numbers).apply((stored(Order, pk=5),))

    assert result.state == "FAILURE"
    assert str(result.result).startswith("shop.Order 5 in database 'default' does not exist: ")


def test_a_function_cannot_have_on_commit() -> None:
    with pytest.raises(InvalidModelTask) as caught:
        task(on_commit=True)(numbers)

    assert str(caught.value) == "@task of numbers has no option 'on_commit', which is for methods."


def test_an_unknown_on_missing_of_a_function_is_refused() -> None:
    with pytest.raises(InvalidModelTask) as caught:
        task(on_missing="ignore")(numbers)

    assert str(caught.value) == (
        "@task of numbers: on_missing is 'ignore'. It must be 'raise', 'discard', 'retry', or a "
        "function that takes the DoesNotExist."
    )


def test_an_unsaved_argument_of_a_function_is_refused(sent: Sent) -> None:
    with pytest.raises(EncodeError) as caught:
        task(numbers).delay(Order())

    assert str(caught.value).startswith("This shop.Order has no row in the database: ")
    assert sent() == []


def test_wrong_arguments_of_a_function_are_refused(sent: Sent) -> None:
    with pytest.raises(TypeError) as caught:
        task(numbers).delay()

    assert str(caught.value) == "numbers() missing 1 required positional argument: 'order'"
    assert sent() == []


def test_a_bound_function_gets_its_task_first() -> None:
    @task(bind=True, name="shop.bound")
    def bound(self: Any, order: Order) -> tuple[str, str]:
        return self.name, order.number

    order = Order.objects.create(number="one")

    assert bound(order) == ("shop.bound", "one")
    assert bound.apply((order,)).get() == ("shop.bound", "one")


# any task class, any option


@pytest.mark.parametrize("serializer", [CEREAL_JSON, CEREAL_PICKLE])
@pytest.mark.parametrize("decorator", [app.task, shared_task])
def test_a_plain_task_takes_instances(decorator: Any, serializer: str, sent: Sent) -> None:
    order = Order.objects.create(number="one")
    decorated = decorator(serializer=serializer, base=Base, name="shop.plain")(numbers)
    decorated.delay(order, last=order)

    (message,) = sent()

    assert message.content_type == f"application/x-{serializer}"
    assert received(message) == ["one", "one"]
    assert Base.begun.pop() == ("shop.plain", [order])


@pytest.mark.parametrize("serializer", [CEREAL_JSON, CEREAL_PICKLE])
def test_the_projects_serializer_makes_any_task_take_instances(
    serializer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_TASK_SERIALIZER", serializer)

    printed = run_program("project_serializer")

    assert printed == f"application/x-{serializer} [<shop.Order 5>]"


OPTIONS: dict[str, Any] = {
    "acks_late": True,
    "acks_on_failure_or_timeout": False,
    "autoretry_for": (KeyError,),
    "compression": "gzip",
    "default_retry_delay": 7,
    "expires": 3600,
    "ignore_result": True,
    "max_retries": 9,
    "rate_limit": "10/m",
    "reject_on_worker_lost": True,
    "retry_backoff": 2,
    "send_events": False,
    "serializer": "cereal-json",
    "soft_time_limit": 4,
    "store_errors_even_if_ignored": True,
    "throws": (ValueError,),
    "time_limit": 5,
    "track_started": True,
    "trail": False,
    "typing": False,
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_celery_option_reaches_the_task(option: str, new_models: None) -> None:
    options = {option: OPTIONS[option]}
    Order.add_to_class("numbers", model_task(**options)(numbers))
    method: Any = Order.numbers  # type: ignore[attr-defined]

    assert getattr(method.task, option) == OPTIONS[option]
    assert getattr(task(**options)(numbers), option) == OPTIONS[option]


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")  # since Celery 5.7
@pytest.mark.parametrize("option", [{"queue": "slow"}, {"priority": 3}, {"routing_key": "a.b"}])
def test_a_routing_option_reaches_the_task(option: Any, new_models: None) -> None:
    Order.add_to_class("numbers", model_task(**option)(numbers))

    ((name, value),) = option.items()
    assert getattr(Order.numbers.task, name) == value  # type: ignore[attr-defined]
    assert getattr(task(**option)(numbers), name) == value


def test_the_base_of_a_method_is_any_task_class(new_models: None) -> None:
    order = Order.objects.create(number="one")
    Order.add_to_class("numbers", model_task(base=Base)(numbers))

    assert isinstance(Order.numbers.task, Base)  # type: ignore[attr-defined]
    assert order.numbers.apply().get() == ["one"]  # type: ignore[attr-defined]
    assert Base.begun.pop()[0].endswith("Order.numbers")


def test_the_options_of_a_task_class_apply(new_models: None) -> None:
    special = type("Special", (Base,), {"special": None, "abstract": True})
    Order.add_to_class("numbers", model_task(base=special, special="yes")(numbers))

    assert Order.numbers.task.special == "yes"  # type: ignore[attr-defined]


def test_autoretry_for_retries_a_method(new_models: None) -> None:
    seen = []

    def go(self: Any) -> str:
        seen.append(self.number)
        if len(seen) < 3:
            raise KeyError("again")
        return self.number

    options = {"autoretry_for": (KeyError,), "retry_kwargs": {"countdown": 0, "max_retries": 5}}
    Order.add_to_class("go", model_task(**options)(go))
    order: Any = Order.objects.create(number="one")

    assert order.go.apply().get() == "one"
    assert seen == ["one"] * 3


def test_the_class_of_a_task_may_have_subclasses(new_models: None) -> None:
    @task
    def three() -> int:
        return 3

    again = type("Again", (type(app.tasks[three.name]),), {"name": "again"})

    app.register_task(again())

    assert app.tasks["again"].apply().get() == 3
