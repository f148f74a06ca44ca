"""Definitions with ``@model_task`` that are refused when the class is made."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

import tests.shop.tasks  # noqa: F401  (its tasks take names)
from cereal_methods import model_task
from tests.shop.models import Order

from .definitions import IS_NO_METHOD, go, named, refused


class Plain:
    """A class that is decorated."""


class Call:
    """An object that can be called."""

    def __call__(self, order: Any) -> None: ...

    def __repr__(self) -> str:
        return "<call>"


def go_this(self: Any, this: Any) -> None: ...


def go_alone() -> None: ...


def go_keyword(*, self: Any) -> None: ...


async def go_later(self: Any) -> None: ...


TAKES_NO_SELF = "does not take self. Decorate a method with self as its first parameter."


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (property(go), f"go is a property{IS_NO_METHOD}"),
        (Plain, f"Plain is a class{IS_NO_METHOD}"),
        ("go", f"'go' is a str{IS_NO_METHOD}"),
        (Call(), "<call> is a Call, which does not bind to instances. Use a function."),
        (
            go_later,
            "go_later is a coroutine function, which Celery cannot run. Wrap it with "
            "async_to_sync.",
        ),
        (
            classmethod(go_later),
            "go_later is a coroutine function, which Celery cannot run. Wrap it with "
            "async_to_sync.",
        ),
        (go_alone, f"go_alone {TAKES_NO_SELF}"),
        (go_keyword, f"go_keyword {TAKES_NO_SELF}"),
        (classmethod(go_alone), f"go_alone {TAKES_NO_SELF}"),
        (go_this, "go_this has a parameter 'this', under which self travels. Rename it."),
    ],
)
def test_values_that_cannot_be_methods_are_refused(method: Any, message: str) -> None:
    assert refused(lambda: model_task(method)) == f"@model_task cannot be used here: {message}"


@pytest.mark.parametrize("method", [go, classmethod(go)])
def test_bind_needs_a_parameter_for_the_task(method: Any) -> None:
    assert refused(lambda: model_task(bind=True)(method)) == (
        f"@model_task cannot be used here: {method.__qualname__} does not take the task. With "
        "bind=True the "
        "task comes second: def method(self, task)."
    )


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("max_retrys", " Did you mean 'max_retries'?"),
        ("on_mising", " Did you mean 'on_missing'?"),
        ("select_for_updates", " Did you mean 'select_for_update'?"),
        ("que", " Did you mean 'queue'?"),
        ("xyzzy", ""),
    ],
)
def test_an_unknown_option_is_refused(option: str, meant: str) -> None:
    assert refused(lambda: model_task(**{option: 1})(go)) == (
        f"@model_task of go has no option {option!r}.{meant} Options are those of Celery's tasks "
        "and of model_task; those of a task class come with base=."
    )


@pytest.mark.parametrize("value", ["ignore", None, 3])
def test_an_unknown_on_missing_is_refused(value: Any) -> None:
    assert refused(lambda: model_task(on_missing=value)(go)) == (
        f"@model_task of go: on_missing is {value!r}. It must be 'raise', 'discard', 'retry', or a "
        "function that takes the DoesNotExist."
    )


@pytest.mark.parametrize("value", ["nowait", ["nowait"], {"wait": True}, 1.5])
def test_an_unknown_select_for_update_is_refused(value: Any) -> None:
    assert refused(lambda: model_task(select_for_update=value)(go)) == (
        f"@model_task of go: select_for_update is {value!r}. It must be True or a dict of its "
        "options: batch, no_key, nowait, of, skip_locked."
    )


def test_a_method_of_a_queryset_is_refused() -> None:
    def define() -> None:
        class Orders(models.QuerySet[Order]):
            go = model_task(go)

    assert refused(define) == (
        "@model_task cannot be used here: go is a method of a queryset, which cannot be sent. Put "
        "it on a manager, or on the model to send it for rows."
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"manager": 5}, "the name of a manager"),
        ({"aliases": "shop.colliding"}, "a list of strings"),
        ({"name": 5}, "a string"),
        ({"on_commit": "yes"}, "True or False"),
        ({"serializer": 5}, "the name of a serializer"),
        ({"select_related": 5}, "True, a name or a list of names"),
        ({"prefetch_related": 5}, "a name, or a list of names and Prefetch objects"),
    ],
    ids=str,
)
def test_an_option_with_a_wrong_value_is_refused(options: dict[str, Any], expected: str) -> None:
    ((option, value),) = options.items()

    assert refused(lambda: model_task(**options)(go)) == (
        f"@model_task of go: {option} is {value!r}. It must be {expected}."
    )


def test_a_manager_that_the_model_does_not_have_is_refused(new_models: None) -> None:
    assert refused(named("Managed", manager="nothing")) == (
        "@model_task of shop.Managed.go: shop.Managed has no manager 'nothing'. It has objects."
    )


def test_generators_are_refused() -> None:
    async def go_later(self: Any) -> Any:
        yield self

    def go_on(self: Any) -> Any:
        yield self

    assert refused(lambda: model_task(go_later)).endswith(
        "go_later is a coroutine function, which Celery cannot run. Wrap it with async_to_sync."
    )
    assert refused(lambda: model_task(go_on)).endswith(
        "go_on is a generator function, whose body a worker would never run. Return a list."
    )


def test_a_static_method_cannot_have_bind() -> None:
    assert refused(lambda: model_task(bind=True)(staticmethod(go))) == (
        "@model_task cannot be used here: go is a static method, which cannot take the task of "
        "bind=True. Make it a class method."
    )


def test_a_lambda_is_refused(new_models: None) -> None:
    refused(lambda: Order.add_to_class("go_lambda", model_task(lambda self: None)))


def test_a_batch_that_is_locked_waits_for_its_rows() -> None:
    lock = {"batch": True, "nowait": True}

    assert refused(lambda: model_task(select_for_update=lock)(go)) == (
        "@model_task of go: select_for_update has 'batch', which waits for the locks of all rows, "
        "and 'nowait' or 'skip_locked'. Leave out one of them."
    )
