"""The list of method tasks, and what it says of each."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from cereal_methods import model_task
from cereal_methods.sending.discovery import descriptor_of
from cereal_methods.sending.method_tasks import MethodTask, method_tasks
from tests.celery import app
from tests.shop.models import Gift, Order, PaidOrder


def listed(label: str) -> MethodTask:
    """Return the method task with a label."""
    (method_task,) = (method for method in method_tasks() if method.label == label)
    return method_task


def test_a_method_of_a_row_is_listed_with_its_task() -> None:
    ship = listed("shop.Order.ship")

    assert (ship.model, ship.path, ship.runs_on) == (Order, "ship", "row")
    assert ship.task is Order.ship.task
    assert ship.description == "Ship the order."
    assert ship.policy is Order.ship.task.target.policy
    assert not ship.on_commit
    assert ship.queue == app.conf.task_default_queue


def test_the_list_is_sorted_by_label() -> None:
    labels = [method.label for method in method_tasks()]

    assert labels == sorted(labels)


def test_former_names_are_listed() -> None:
    assert listed("shop.Order.bill").aliases == ("shop.invoice", "shop.charge")


@pytest.mark.parametrize(
    ("label", "runs_on"),
    [("shop.Order.number_all", "class"), ("shop.Order.paid.count_all", "manager")],
)
def test_what_a_method_runs_on_is_listed(label: str, runs_on: str) -> None:
    assert listed(label).runs_on == runs_on


def test_an_inherited_method_is_listed_for_each_model() -> None:
    models_of_ship = {method.model for method in method_tasks() if method.path == "ship"}

    assert {Order, Gift, PaidOrder} <= models_of_ship


def test_a_task_with_a_name_is_listed_only_for_its_parent() -> None:
    assert [method.model for method in method_tasks() if method.path == "bill"] == [Order]


def test_a_model_that_was_removed_is_not_listed(new_models: None) -> None:
    class Stray(models.Model):
        class Meta:
            app_label = "shop"

        @model_task
        def go(self) -> None: ...

    assert listed("shop.Stray.go").model is Stray
    del Stray._meta.apps.all_models["shop"]["stray"]
    Stray._meta.apps.clear_cache()

    assert all(method.model is not Stray for method in method_tasks())


def test_a_queue_that_depends_on_arguments_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(task: Any) -> str:
        raise KeyError("tenant")

    monkeypatch.setattr("cereal_methods.sending.method_tasks.queue_of", fail)

    assert listed("shop.Order.ship").queue is None


@pytest.mark.parametrize("name", ["number_all", "pk", "nothing", None])
def test_only_a_method_of_rows_is_a_descriptor_of_rows(name: Any) -> None:
    assert descriptor_of(Order, name) is None


def test_the_descriptor_of_a_method_is_found_by_its_name() -> None:
    descriptor: Any = descriptor_of(Order, "ship")

    assert descriptor.task_name(Order) == Order.ship.name
