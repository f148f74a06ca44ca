"""Task names that another task has already."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

import tests.shop.tasks  # noqa: F401  (its tasks have names)
from cereal_methods import model_task
from tests.celery import app
from tests.shop.models import Order

from ..interpreters import run_program
from .definitions import go, go_with, named, refused


@pytest.mark.parametrize(
    "options",
    [{"name": "shop.bill"}, {"name": "shop.invoice"}, {"aliases": ["shop.bill"]}],
    ids=["its name", "its alias", "an alias"],
)
def test_the_name_of_another_method_is_refused(new_models: None, options: Any) -> None:
    name = options.get("name") or options["aliases"][0]

    assert refused(named("Colliding", **options)) == (
        f"The task name {name!r} of shop.Colliding:go is used by tests.shop.models.Order:"
        "Order.bill. Give one of them another name with name=."
    )


def test_the_name_of_a_plain_task_is_refused(new_models: None) -> None:
    app.finalize()

    assert refused(named("Colliding", name="tests.shop.tasks.plain")) == (
        "The task name 'tests.shop.tasks.plain' of shop.Colliding:go is used by "
        "tests.shop.tasks.plain. Give one of them another name with name=."
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
        f"The task name 'shop.twice' of {__name__}.{where}:go_with is used by {__name__}.{where}:"
        "go. Give one of them another name with name=."
    )


def test_a_model_that_was_refused_leaves_the_name_with_its_owner(new_models: None) -> None:
    refused(named("Colliding", aliases=["shop.bill"]))

    assert app.tasks["shop.bill"] is Order.bill.task
    assert Order.bill.name == "shop.bill"


def test_a_method_is_never_sent_to_a_plain_task_with_its_name() -> None:
    printed = run_program("taken_name")

    # Celery registers shared tasks in no order, and the first one keeps the name.
    assert printed in (
        "The task name 'shop.taken' of __main__.Colliding:Colliding.go is used by __main__.taken. "
        "Give one of them another name with name=.",
        "sent to __main__ go",
    )
