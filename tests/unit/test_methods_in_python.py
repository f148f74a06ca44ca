"""Model tasks among Python's own tools: decorators, inspection, copies, pickles."""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import pickle
import pydoc
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from django.apps import apps

from cereal_methods import model_task
from tests.shop.models import Order

from .bodies import stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]


def marked(function: Any) -> Any:
    """A decorator as people write them."""

    @functools.wraps(function)
    def marked(*args: Any, **kwargs: Any) -> list[Any]:
        return ["marked", function(*args, **kwargs)]

    return marked


class Crate(Order):
    """A proxy with a method of every kind."""

    class Meta:
        app_label = "shop"
        proxy = True

    @marked
    @model_task(rate_limit="5/m")
    def above(self, n: int = 1) -> list[Any]:
        """Go above."""
        return [type(self).__name__, n]

    @model_task(rate_limit="5/m")
    @marked
    def below(self, n: int = 1) -> list[Any]:
        """Go below."""
        return [type(self).__name__, n]

    @marked
    @model_task(rate_limit="5/m")
    @marked
    def around(self, n: int = 1) -> list[Any]:
        """Go around."""
        return [type(self).__name__, n]

    @model_task
    def self_alone(self, n: int = 1) -> list[Any]:
        """Go alone."""
        return [type(self).__name__, n]

    @model_task
    @classmethod
    def on_class(cls, n: int = 1) -> list[Any]:
        """Go on the class."""
        return [cls.__name__, n]

    @model_task
    @staticmethod
    def on_none(n: int = 1) -> list[Any]:
        """Go on nothing."""
        return ["nothing", n]

    @model_task(bind=True)
    @classmethod
    def on_class_bound(cls, task: Any, n: int = 1) -> list[Any]:
        return [cls.__name__, task.name, n]

    @marked
    @model_task(bind=True)
    def above_bound(self, task: Any, n: int = 1) -> list[Any]:
        return [type(self).__name__, task.name, n]

    @model_task(bind=True)
    @marked
    def below_bound(self, task: Any, n: int = 1) -> list[Any]:
        return [type(self).__name__, task.name, n]


@pytest.fixture(scope="module", autouse=True)
def crates() -> Iterator[None]:
    """Forget the model after this module."""
    yield
    del apps.all_models["shop"]["crate"]
    apps.clear_cache()


@pytest.fixture
def crate() -> Crate:
    """A row."""
    return Crate.objects.create()


RESULTS: dict[str, list[Any]] = {
    "above": ["marked", ["Crate", 2]],
    "below": ["marked", ["Crate", 2]],
    "around": ["marked", ["marked", ["Crate", 2]]],
    "self_alone": ["Crate", 2],
    "above_bound": ["marked", ["Crate", f"{__name__}.Crate.above_bound", 2]],
    "below_bound": ["marked", ["Crate", f"{__name__}.Crate.below_bound", 2]],
}
STATIC: dict[str, list[Any]] = {
    "on_class": ["Crate", 2],
    "on_none": ["nothing", 2],
    "on_class_bound": ["Crate", f"{__name__}.Crate.on_class_bound", 2],
}


@pytest.mark.parametrize("name", RESULTS)
def test_the_call_and_the_task_of_a_method_do_the_same(name: str, crate: Crate) -> None:
    expected = RESULTS[name]

    assert getattr(crate, name)(2) == expected
    assert getattr(Crate, name)(crate, 2) == expected
    assert getattr(crate, name).apply((2,)).get() == expected
    assert getattr(Crate, name).apply((crate, 2)).get() == expected
    assert getattr(crate, name).s(2).apply().get() == expected


@pytest.mark.parametrize(("name", "expected"), STATIC.items())
def test_the_call_and_the_task_of_a_class_or_static_method_do_the_same(
    name: str, expected: list[Any], crate: Crate
) -> None:
    for owner in (crate, Crate):
        assert getattr(owner, name)(2) == expected
        assert getattr(owner, name).apply((2,)).get() == expected
        assert getattr(owner, name).s(2).apply().get() == expected


@pytest.mark.parametrize("name", ["above", "below", "around"])
def test_a_decorator_above_or_below_leaves_the_options(name: str) -> None:
    assert getattr(Crate, name).task.rate_limit == "5/m"


NAMES = ["above", "below", "around", "self_alone", "on_class", "on_none"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("owner", [Crate, Crate()], ids=["class", "instance"])
def test_a_method_says_what_it_is(owner: Any, name: str) -> None:
    method = getattr(owner, name)

    assert method.__name__ == name
    assert method.__qualname__ == f"Crate.{name}"
    assert method.__module__ == __name__
    assert method.__doc__.startswith("Go ")
    assert method.task.__doc__ == method.__doc__
    assert method.task.__module__ == __name__


@pytest.mark.parametrize("name", NAMES)
def test_a_method_has_its_signature(name: str) -> None:
    on_class = "(n: 'int' = 1) -> 'list[Any]'"
    of_row = on_class if name in STATIC else "(self, n: 'int' = 1) -> 'list[Any]'"

    assert str(inspect.signature(getattr(Crate(), name))) == on_class
    assert str(inspect.signature(getattr(Crate, name))) == of_row


def test_a_method_has_its_source_and_its_help() -> None:
    assert inspect.getsource(Crate.self_alone).startswith("    @model_task\n    def self_alone(")
    assert "Go alone." in pydoc.plaintext.document(Crate.self_alone)


def test_a_method_may_be_replaced_and_put_back(crate: Crate) -> None:
    with mock.patch.object(Crate, "self_alone", return_value="replaced"):
        assert crate.self_alone(2) == "replaced"

    assert crate.self_alone(2) == ["Crate", 2]
    assert crate.self_alone.name == f"{__name__}.Crate.self_alone"


def test_a_method_is_called_by_name_and_in_part(crate: Crate) -> None:
    assert operator.methodcaller("self_alone", 2)(crate) == ["Crate", 2]
    assert functools.partial(crate.self_alone, 2)() == ["Crate", 2]
    assert len({crate.self_alone, crate.self_alone}) == 1


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_a_class_and_its_rows_are_copied_and_pickled(copied: Callable[[Any], Any]) -> None:
    row = stored(Order, pk=5)

    assert copied(Order) is Order
    assert copied(row) == row
    assert copied(row).ship.name == row.ship.name
    assert copied(Order.paid).count_all.name == Order.paid.count_all.name
