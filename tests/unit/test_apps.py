"""The Celery apps and the Django app of a process."""

from __future__ import annotations

import pytest
from django.apps import apps

from .interpreters import run_program

NAMES = [
    "tests.shop.models.Order.ship",
    "tests.shop.models.Gift.ship",
    "tests.shop.models.Order.paid.count_all",
    "tests.shop.models.Order.number_all",
    "shop.charge",
    "cereal_methods.starmap",
]


@pytest.mark.parametrize(
    "order", ["app_first", "models_first", "app_without_settings", "finalized_later"]
)
def test_the_tasks_of_installed_models_are_on_the_app(order: str) -> None:
    assert run_program("app_of_models", order, *NAMES) == str([True] * len(NAMES))


def test_the_tasks_are_on_an_app_that_is_made_later() -> None:
    printed = run_program("later_app", *NAMES)

    assert printed.splitlines() == [str([True] * len(NAMES)), "True True", "True True"]


def test_a_method_is_sent_by_the_current_app() -> None:
    assert run_program("current_app") == "tests.shop.models.Order.ship"


def test_the_django_app_has_no_models_and_a_name() -> None:
    config = apps.get_app_config("cereal_methods")

    assert list(config.get_models()) == []
    assert config.verbose_name == "Model tasks"


def test_methods_are_tasks_although_the_app_is_not_installed() -> None:
    assert run_program("not_installed") == "True tests.shop.models.Order.ship"
