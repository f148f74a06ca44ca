"""Definitions with ``@model_task`` that are refused when the class is made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from django.db import models
from django.utils.functional import cached_property

import tests.shop.tasks  # noqa: F401  (its tasks take names)
from cereal_methods import model_task, tasks
from cereal_methods.exceptions import InvalidModelTask
from tests.celery import app
from tests.shop.models import Order

from .interpreters import SETUP, run


class Plain:
    """A class that is decorated."""


class Call:
    """An object that can be called."""

    def __call__(self, order: Any) -> None: ...

    def __repr__(self) -> str:
        return "<call>"


def go(self: Any) -> None: ...


def go_with(self: Any, task: Any) -> None: ...


def go_this(self: Any, this: Any) -> None: ...


def go_alone() -> None: ...


def go_keyword(*, self: Any) -> None: ...


async def go_later(self: Any) -> None: ...


def refused(define: Callable[[], Any]) -> str:
    """Return the message with which a definition is refused."""
    with pytest.raises((InvalidModelTask, RuntimeError)) as caught:
        define()
    # Python before 3.12 puts the errors of __set_name__ into a RuntimeError.
    error = caught.value.__cause__ if isinstance(caught.value, RuntimeError) else caught.value
    assert isinstance(error, InvalidModelTask)
    return str(error)


IS_NO_METHOD = ", not a method. Decorate a function in the body of a model."
TAKES_NO_SELF = "takes no self. Decorate a method with self as its first parameter."


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
def test_what_cannot_be_a_method_is_refused(method: Any, message: str) -> None:
    assert refused(lambda: model_task(method)) == f"@model_task cannot be used here: {message}"


@pytest.mark.parametrize("method", [go, classmethod(go)])
def test_a_bound_task_needs_a_parameter_for_the_task(method: Any) -> None:
    assert refused(lambda: model_task(bind=True)(method)) == (
        f"@model_task cannot be used here: {method.__qualname__} takes no task. With bind=True the "
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


def test_a_classmethod_above_is_refused(new_models: None) -> None:
    def define() -> None:
        class Classy(models.Model):
            go = classmethod(model_task(go))

            class Meta:
                app_label = "shop"

    assert refused(define) == (
        "@model_task cannot be used here: @classmethod stands above it on "
        "test_a_classmethod_above_is_refused.<locals>.define.<locals>.Classy.go. Put @model_task "
        "first, and on a method."
    )


def named(model: str, **options: Any) -> Callable[[], type[models.Model]]:
    """Return a definition of a model with one task."""
    meta = type("Meta", (), {"app_label": "shop"})
    body = {"Meta": meta, "__module__": "shop", "go": model_task(**options)(go)}
    return lambda: type(model, (models.Model,), body)


@pytest.mark.parametrize(
    "options",
    [{"name": "shop.bill"}, {"name": "shop.invoice"}, {"aliases": ["shop.bill"]}],
    ids=["its name", "its alias", "an alias"],
)
def test_the_name_of_another_method_is_refused(new_models: None, options: Any) -> None:
    name = options.get("name") or options["aliases"][0]

    assert refused(named("Colliding", **options)) == (
        f"The task name {name!r} of shop.Colliding:go is taken by tests.shop.models.Order:"
        "Order.bill. Give one of them another with name=."
    )


def test_the_name_of_a_plain_task_is_refused(new_models: None) -> None:
    app.finalize()

    assert refused(named("Colliding", name="tests.shop.tasks.plain")) == (
        "The task name 'tests.shop.tasks.plain' of shop.Colliding:go is taken by "
        "tests.shop.tasks.plain. Give one of them another with name=."
    )


def test_one_name_for_two_methods_of_a_model_is_refused(new_models: None) -> None:
    def define() -> None:
        class Twice(models.Model):
            one = model_task(name="shop.twice")(go)
            other = model_task(name="shop.twice")(go_with)

            class Meta:
                app_label = "shop"

    where = "test_one_name_for_two_methods_of_a_model_is_refused.<locals>.define.<locals>.Twice"
    assert refused(define) == (
        f"The task name 'shop.twice' of {__name__}.{where}:go_with is taken by {__name__}.{where}:"
        "go. Give one of them another with name=."
    )


def test_a_model_that_was_refused_leaves_the_name_with_its_owner(new_models: None) -> None:
    refused(named("Colliding", aliases=["shop.bill"]))

    assert app.tasks["shop.bill"] is Order.bill.task
    assert Order.bill.name == "shop.bill"


def test_a_name_that_a_plain_task_takes_first_is_never_sent_to_it() -> None:
    found = run(
        SETUP,
        """
        import warnings
        from celery import shared_task
        from django.db import models
        from cereal_methods import model_task
        from cereal_methods.exceptions import InvalidModelTask
        from tests.unit.bodies import stored

        warnings.simplefilter("ignore")  # Celery 5.7 warns of such a name

        @shared_task(name="shop.taken")
        def taken(*args, **kwargs): ...

        try:
            class Colliding(models.Model):
                @model_task(name="shop.taken")
                def go(self, *args): ...

                class Meta:
                    app_label = "shop"

            stored(Colliding, pk=5).go.delay()
            print("sent to", Colliding.go.task.run.__module__, Colliding.go.task.run.__name__)
        except InvalidModelTask as error:
            print(error)
        """,
    )

    # Celery registers shared tasks in no order, and the first one keeps the name.
    assert found in (
        "The task name 'shop.taken' of __main__.Colliding:Colliding.go is taken by __main__.taken. "
        "Give one of them another with name=.",
        "sent to __main__ go",
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
def test_an_option_of_a_wrong_value_is_refused(options: dict[str, Any], expected: str) -> None:
    ((option, value),) = options.items()

    assert refused(lambda: model_task(**options)(go)) == (
        f"@model_task of go: {option} is {value!r}. It must be {expected}."
    )


def test_a_manager_that_the_model_has_not_is_refused(new_models: None) -> None:
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
        "go_on is a generator function, of which a worker would run nothing. Return a list."
    )


def test_a_static_method_is_bound_to_no_task() -> None:
    assert refused(lambda: model_task(bind=True)(staticmethod(go))) == (
        "@model_task cannot be used here: go is a static method, to which no task can be bound. "
        "Make it a class method."
    )


def test_a_lambda_is_refused(new_models: None) -> None:
    refused(lambda: Order.add_to_class("go_lambda", model_task(lambda self: None)))


def test_a_staticmethod_above_is_refused(new_models: None) -> None:
    meta = type("Meta", (), {"app_label": "shop"})
    body = {"Meta": meta, "__module__": "shop", "go": staticmethod(model_task(go))}

    assert refused(lambda: type("Hidden", (models.Model,), body)) == (
        "@model_task cannot be used here: @staticmethod stands above it on Hidden.go. Put "
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
        f"@model_task cannot be used here: @{name} stands above it on Hidden.go. Put @model_task "
        f"on a method of its own, without @{name}."
    )


def test_a_partialmethod_of_a_task_beside_it_is_a_method(new_models: None) -> None:
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
    "is wrapped in functools.lru_cache, by which a worker would run it once for each row, and keep "
    "the rows in memory. Leave the cache out."
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
def test_a_decorator_below_that_makes_no_method_is_refused(method: Any, wrong: str) -> None:
    assert refused(lambda: model_task(method)) == f"@model_task cannot be used here: go {wrong}"


def test_a_batch_that_is_locked_waits_for_its_rows() -> None:
    lock = {"batch": True, "nowait": True}

    assert refused(lambda: model_task(select_for_update=lock)(go)) == (
        "@model_task of go: select_for_update has 'batch', which waits for the locks of all rows, "
        "and 'nowait' or 'skip_locked'. Leave out one of them."
    )


def test_the_task_and_what_follows_it_may_be_positional_only() -> None:
    def move(self: Any, task: Any, to: str, /, note: str = "") -> None: ...

    signature = tasks.signature_of(move, takes_row=True, bind=True)

    assert [*signature.parameters] == ["task", "to", "note", "this"]
