"""Checks of the names and relations of methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import models
from django.db.models import Prefetch

from cereal_methods import model_task
from tests.shop.models import Order

from .checking import SHIP, Checked, Found, told, use, without_addresses


def test_a_name_that_another_task_has_taken_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ship() -> None: ...

    use(monkeypatch, {SHIP: ship})

    assert told(run_checks(tags=["cereal_methods"], databases=[])) == [
        (
            "E005",
            f"The task name {SHIP!r} of tests.shop.models.Order:Order.ship is used by "
            "tests.unit.checks.test_methods.ship.",
            "Give one of them another name with name=.",
        )
    ]


@pytest.fixture
def with_options(checked: Checked, new_models: None) -> Callable[..., Found]:
    """Check a model with relations whose method has some options."""

    def check(**options: Any) -> Found:
        class Part(models.Model):
            order = models.ForeignKey(Order, models.CASCADE)
            twin = models.OneToOneField("self", models.CASCADE, related_name="other_twin")
            many = models.ManyToManyField(Order, related_name="parts")

            class Meta:
                app_label = "shop"

            @model_task(**options)
            def go(self) -> None: ...

        return checked(Part.go.name)

    return check


@pytest.mark.parametrize(
    "options",
    [
        {"select_related": True},
        {"select_related": "order"},
        {"select_related": ["order__customer", "twin__other_twin"]},
        {"prefetch_related": ["order__line_set", "many", "twin__many__parts", "other_twin"]},
        {"prefetch_related": [Prefetch("many", to_attr="orders"), "orders__customer"]},
        {"prefetch_related": [Prefetch("many", Order.objects.all())]},
    ],
    ids=without_addresses,
)
def test_relations_that_exist_are_not_reported(
    with_options: Callable[..., Found], options: Any
) -> None:
    assert with_options(**options) == []


@pytest.mark.parametrize(
    ("options", "named", "hint"),
    [
        ({"select_related": "ordr"}, ("select_related='ordr'", "shop.Part", "ordr"), "order"),
        (
            {"select_related": ["order__custmer"]},
            ("select_related='order__custmer'", "shop.Order", "custmer"),
            "customer",
        ),
        ({"select_related": "many"}, ("select_related='many'", "shop.Part", "many"), None),
        (
            {"prefetch_related": ["order__lineset"]},
            ("prefetch_related='order__lineset'", "shop.Order", "lineset"),
            "line_set",
        ),
        (
            {"prefetch_related": [Prefetch("manny")]},
            ("prefetch_related='manny'", "shop.Part", "manny"),
            "many",
        ),
    ],
    ids=without_addresses,
)
def test_a_relation_that_does_not_exist_is_reported(
    with_options: Callable[..., Found], options: Any, named: Any, hint: str | None
) -> None:
    ((code, message, remedy),) = with_options(**options)

    option, model, part = named
    assert code == "E006"
    assert message == (
        f"tests.unit.checks.test_methods.Part.go has {option}, but {model} has no relation "
        f"{part!r}."
    )
    assert remedy == (
        f"Did you mean {hint!r}?" if hint else "Its relations are order, other_twin, twin."
    )
