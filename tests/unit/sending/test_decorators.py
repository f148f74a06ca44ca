"""Decorators of Python and Django above and below ``@model_task``."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from django.db import models
from django.utils.functional import cached_property

from cereal_methods import model_task
from cereal_methods.sending.headers import task_signature

from .definitions import IS_NO_METHOD, go, refused


def test_a_classmethod_above_is_refused(new_models: None) -> None:
    def define() -> None:
        class Classy(models.Model):
            go = classmethod(model_task(go))

            class Meta:
                app_label = "shop"

    assert refused(define) == (
        "@model_task cannot be used here: @classmethod is above it on "
        "test_a_classmethod_above_is_refused.<locals>.define.<locals>.Classy.go. Put @model_task "
        "first, and on a method."
    )


def test_a_staticmethod_above_is_refused(new_models: None) -> None:
    meta = type("Meta", (), {"app_label": "shop"})
    body = {"Meta": meta, "__module__": "shop", "go": staticmethod(model_task(go))}

    assert refused(lambda: type("Hidden", (models.Model,), body)) == (
        "@model_task cannot be used here: @staticmethod is above it on Hidden.go. Put "
        "@model_task first, and on a method."
    )


@pytest.mark.parametrize(
    ("above", "name"),
    [
        (property, "property"),
        (functools.cached_property, "cached_property"),
        (cached_property, "cached_property"),
        (functools.cache, "lru_cache"),
        (functools.lru_cache(maxsize=5), "lru_cache"),
        (lambda task: functools.partialmethod(task, 1), "partialmethod"),
        (functools.singledispatchmethod, "singledispatchmethod"),
        (lambda task: functools.lru_cache(passing(task)), "lru_cache"),
        (lambda task: passing(functools.lru_cache(task)), "lru_cache"),
    ],
)
def test_a_decorator_above_that_hides_the_task_is_refused(
    new_models: None, above: Any, name: str
) -> None:
    body = {"Meta": type("Meta", (), {"app_label": "shop"}), "__module__": "shop"}

    def define() -> None:
        type("Hidden", (models.Model,), {**body, "go": above(model_task(go))})

    assert refused(define) == (
        f"@model_task cannot be used here: @{name} is above it on Hidden.go. Put @model_task "
        f"on a method of its own, without @{name}."
    )


def test_a_partialmethod_of_a_task_is_still_a_method(new_models: None) -> None:
    class Parted(models.Model):
        @model_task
        def move(self, to: str) -> str:
            return f"moved {to}"

        move_up = functools.partialmethod(move, "up")

        class Meta:
            app_label = "shop"

    assert Parted().move_up() == "moved up"
    assert Parted.move.name.endswith("Parted.move")


def passing(function: Any) -> Any:
    """A decorator as people write them."""

    @functools.wraps(function)
    def passing(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return passing


CACHED = (
    "is wrapped in functools.lru_cache, so a worker would run it once for each row and keep the "
    "rows in memory. Leave out the cache."
)


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (functools.cached_property(go), f"is a cached_property{IS_NO_METHOD}"),
        (cached_property(go), f"is a cached_property{IS_NO_METHOD}"),
        (functools.partialmethod(go, 1), f"is a partialmethod{IS_NO_METHOD}"),
        (functools.cache(go), CACHED),
        (functools.lru_cache(maxsize=5)(go), CACHED),
        (classmethod(functools.cache(go)), CACHED),
    ],
)
def test_a_decorator_below_that_does_not_return_a_function_is_refused(
    method: Any, wrong: str
) -> None:
    assert refused(lambda: model_task(method)) == f"@model_task cannot be used here: go {wrong}"


def test_the_task_and_what_follows_it_may_be_positional_only() -> None:
    def move(self: Any, task: Any, to: str, /, note: str = "") -> None: ...

    signature = task_signature(move, takes_row=True)

    assert [*signature.parameters] == ["task", "to", "note", "this"]
