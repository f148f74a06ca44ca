"""Model tasks among Python's own tools: decorators, inspection, copies, pickles."""

from __future__ import annotations

import copy
import functools
import inspect
import operator
import pickle
import pydoc
import traceback
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from cereal_methods import model_task
from tests.shop.models import Order, Stamped

from ..bodies import stored
from ..shops import forgetting

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]


def marked(function: Any) -> Any:
    """A decorator as people write them."""

    @functools.wraps(function)
    def marked(*args: Any, **kwargs: Any) -> list[Any]:
        return ["marked", function(*args, **kwargs)]

    return marked


def described(function: Any) -> Any:
    """Give a function an attribute, as Django's admin uses them."""
    function.short_description = "Described"
    return function


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

    @model_task
    @described
    def described(self) -> None: ...

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


crates = forgetting("crate")


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
def test_calling_and_sending_a_method_do_the_same(name: str, crate: Crate) -> None:
    expected = RESULTS[name]

    assert getattr(crate, name)(2) == expected
    assert getattr(Crate, name)(crate, 2) == expected
    assert getattr(crate, name).apply((2,)).get() == expected
    assert getattr(Crate, name).apply((crate, 2)).get() == expected
    assert getattr(crate, name).s(2).apply().get() == expected


@pytest.mark.parametrize(("name", "expected"), STATIC.items())
def test_calling_and_sending_a_class_or_static_method_do_the_same(
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
def test_a_method_has_the_metadata_of_its_function(owner: Any, name: str) -> None:
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


@pytest.mark.parametrize("name", ["on_class_bound", "above_bound", "below_bound"])
def test_the_signature_of_a_bound_task_leaves_out_the_task(name: str, crate: Crate) -> None:
    called = "(n: 'int' = 1) -> 'list[Any]'"
    of_row = called if name == "on_class_bound" else "(self, n: 'int' = 1) -> 'list[Any]'"

    for owner, expected in ((crate, called), (Crate, of_row)):
        method = getattr(owner, name)
        assert str(inspect.signature(method)) == expected
        assert f"{name}{expected}" in pydoc.plaintext.document(method).replace("\b", "")


@pytest.mark.parametrize(("name", "expected"), RESULTS.items())
def test_the_function_of_a_method_takes_the_row_and_what_its_signature_says(
    name: str, expected: list[Any], crate: Crate
) -> None:
    function = getattr(crate, name).__func__

    assert function(crate, 2) == expected
    assert str(inspect.signature(function)) == "(self, n: 'int' = 1) -> 'list[Any]'"


def test_the_help_of_a_model_does_not_show_the_task() -> None:
    text = pydoc.plaintext.document(Crate)

    assert "below_bound(self, n: 'int' = 1)" in text
    assert "self, task: " not in text


def test_a_spec_of_a_bound_task_takes_what_the_method_takes(crate: Crate) -> None:
    spec = mock.create_autospec(crate)

    spec.below_bound(2)
    with pytest.raises(TypeError):
        spec.below_bound("task", 2)


ONE = {"map", "starmap", "chunks"}
MANY = {
    *("group", "bulk_delay", "bulk_apply_async", "bulk_delay_on_commit"),
    *("bulk_apply_async_on_commit", "bulk_s", "bulk_signature"),
}


@pytest.mark.parametrize(
    ("method", "has", "has_not"),
    [
        (lambda: Crate().below, ONE, MANY),
        (lambda: Crate.below, MANY, ONE),
        (lambda: Crate.on_class, ONE, MANY),
        (lambda: Order.paid.count_all, ONE, MANY),
    ],
    ids=["instance", "class", "class method", "manager"],
)
def test_dir_lists_what_a_method_offers(
    method: Callable[[], Any], has: set[str], has_not: set[str]
) -> None:
    listed = dir(method())

    assert {"delay", "apply_async", "s", "si", "name", "task", "__doc__"} <= {*listed}
    assert has <= {*listed}
    assert not has_not & {*listed}
    assert listed == sorted(listed)


def test_dir_lists_attributes_of_the_function_but_nothing_unusable() -> None:
    assert "short_description" in dir(Crate.described)
    assert Crate.described.short_description == "Described"
    assert "delay" not in dir(Stamped.stamp)


@pytest.mark.parametrize(
    ("owner", "name", "meant"),
    [
        (Crate(), "dely", "delay"),
        (Crate, "bulk_dely", "bulk_delay"),
        (Crate(), "aply_async", "apply_async"),
        (Crate, "short_descripton", "short_description"),
    ],
)
def test_an_attribute_that_is_misspelt_is_suggested(owner: Any, name: str, meant: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(owner.described, name)

    assert str(caught.value) == (
        f"Crate.described has no attribute {name!r}. Did you mean {meant!r}?"
    )
    assert not hasattr(owner.described, name)
    # Python shows what it was about, and makes the suggestion once.
    shown = traceback.format_exception(caught.value)
    assert "".join(shown).count("Did you mean") == 1


@pytest.mark.parametrize("name", ["nothing_like_it", "__delai__", "_dely"])
def test_other_attributes_raise_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"^'function' object has no attribute '{name}'"):
        getattr(Crate.described, name)


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


def test_an_attribute_of_the_function_can_be_set_and_deleted() -> None:
    method: Any = Crate.self_alone

    method.colour = "red"

    assert Crate.self_alone.colour == "red"
    del method.colour
    assert not hasattr(Crate.self_alone, "colour")


def test_a_deep_copy_of_the_method_on_the_class_is_itself() -> None:
    method = Crate.self_alone

    assert copy.deepcopy(method) is method
