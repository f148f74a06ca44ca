"""System checks of ``model_task_actions``."""

from __future__ import annotations

from typing import Any, cast

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.sites import AdminSite
from django.core.checks import run_checks
from django.test import override_settings

from cereal_methods.admin import ModelTaskAction, ModelTaskAdmin

from .models import Box, Shelf


class ShipForm(forms.Form):
    carrier = forms.CharField()


class WrongForm(forms.Form):
    carier = forms.CharField()


def reported(offered: Any, model: Any = Box, **attributes: Any) -> list[tuple[str, str, str]]:
    """Return id, message and hint of what is wrong with an admin."""
    kind = type("WrongAdmin", (ModelTaskAdmin,), {"model_task_actions": offered, **attributes})
    errors = kind(model, AdminSite()).check()
    assert all(error.obj is kind for error in errors)
    return [(str(error.id), error.msg, error.hint or "") for error in errors]


def weigh(model_admin: Any, request: Any, queryset: Any) -> None:
    """Weigh, as an action of the admin's own."""


TYPES = (
    "Annotate it with str, int, float, bool, Decimal, date, datetime, time, timedelta, UUID, a "
    "Literal, an Enum, a model, or Optional of one of these. Or give the action a form, or, if "
    "the argument has a default, fields without it."
)


@pytest.mark.parametrize(
    ("actions", "number", "message", "hint"),
    [
        ("weigh", "E101", "model_task_actions must be a list or a tuple.", ""),
        (
            [5],
            "E103",
            "model_task_actions[0] is 5.",
            "Use the name of a method of the model, or a ModelTaskAction.",
        ),
        (
            ["weigh", "wiegh"],
            "E103",
            "model_task_actions[1] is 'wiegh', which is not a method task for rows of "
            "warehouse.Box.",
            "Did you mean 'weigh'?",
        ),
        (
            ["prune"],
            "E103",
            "model_task_actions[0] is 'prune', which is not a method task for rows of "
            "warehouse.Box.",
            "Its method tasks are ask_all, burn, forget, move, odd, ship, weigh.",
        ),
        (
            ["weigh", "weigh"],
            "E104",
            "Two actions have the name 'weigh', in model_task_actions or in actions.",
            "Remove one of them, or rename the function in actions.",
        ),
        (
            [ModelTaskAction("weigh", permissions="view")],
            "E105",
            "permissions of 'weigh' is the string 'view'.",
            "Write permissions=['view'].",
        ),
        (
            [ModelTaskAction("weigh", permissions=cast("Any", None))],
            "E105",
            "permissions of 'weigh' is None.",
            "It must be a list of names. If it is empty, every user who sees the rows may run it.",
        ),
        (
            [ModelTaskAction("weigh", permissions=["weigh"])],
            "E105",
            "'weigh' requires the permission 'weigh', but the admin does not have the method "
            "has_weigh_permission().",
            "Define it on the admin class. It takes the request and, if it should see the object "
            "of an object's page, the object.",
        ),
        (
            [ModelTaskAction("weigh", batch_size=0)],
            "E106",
            "batch_size of 'weigh' is 0.",
            "It must be a whole number of rows, at least 1.",
        ),
        (
            [ModelTaskAction("weigh", description="Weigh %(name)s")],
            "E107",
            "description of 'weigh' is 'Weigh %(name)s', which cannot be formatted.",
            "The placeholders are %(verbose_name)s and %(verbose_name_plural)s. Write %% for a "
            "percent sign.",
        ),
        (
            [ModelTaskAction("ship", form=ShipForm, fields=["carrier"])],
            "E108",
            "'ship' has both form and fields.",
            "Remove fields: the form decides which arguments are asked for.",
        ),
        (
            [ModelTaskAction("ship", form=ShipForm())],  # type: ignore[arg-type]
            "E108",
            f"form of 'ship' is {ShipForm()!r}.",
            "It must be a form class.",
        ),
        (
            [ModelTaskAction("weigh", fields=["days"])],
            "E108",
            "fields of 'weigh' has 'days', which is not one of its arguments.",
            "It has no arguments.",
        ),
        (
            [ModelTaskAction("ship", fields=["days"])],
            "E108",
            "fields of 'ship' lacks the required argument 'carrier'.",
            "Add it to fields.",
        ),
        (
            [ModelTaskAction("odd", fields=["unknown", "items", "strange"])],
            "E109",
            "No form field can ask for the argument 'items' of 'odd': list[str] has no form field.",
            TYPES,
        ),
    ],
)
def test_a_mistake_is_an_error(actions: Any, number: str, message: str, hint: str) -> None:
    assert (f"cereal_methods.{number}", message, hint) in reported(actions)


def test_each_argument_that_has_no_field_is_reported() -> None:
    assert [error[0] for error in reported(["odd"])] == ["cereal_methods.E109"] * 4


def test_a_form_that_does_not_fit_is_reported_twice() -> None:
    assert reported([ModelTaskAction("ship", form=WrongForm)]) == [
        (
            "cereal_methods.E108",
            "form of 'ship' has 'carier', which is not one of its arguments.",
            "Its arguments are carrier, days.",
        ),
        (
            "cereal_methods.E108",
            "form of 'ship' lacks the required argument 'carrier'.",
            "Add it to form.",
        ),
    ]


def test_a_name_that_is_an_action_too_is_reported() -> None:
    (error,) = reported(["weigh"], actions=[weigh])

    assert error[0] == "cereal_methods.E104"


def test_a_model_without_method_tasks_is_reported_with_a_hint() -> None:
    (error,) = reported(["tidy"], model=Shelf)

    assert error[2] == "Decorate a method of the model with @model_task."


def test_the_app_must_be_installed() -> None:
    without = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes"]
    with override_settings(INSTALLED_APPS=[*without, "tests.admin"]):
        (error,) = reported(["weigh"])

    assert error == (
        "cereal_methods.E102",
        "The templates of ModelTaskAdmin cannot be found: cereal_methods is not in INSTALLED_APPS.",
        "Add 'cereal_methods' to INSTALLED_APPS.",
    )


@pytest.mark.parametrize(
    "action",
    [
        "weigh",
        ModelTaskAction("ship", form=ShipForm),
        ModelTaskAction("ship", fields=("carrier",), batch_size=5, permissions=("view", "delete")),
        ModelTaskAction("ask_all", description="100 %% of the %(verbose_name_plural)s"),
    ],
)
def test_valid_actions_are_not_reported(action: Any) -> None:
    assert reported([action]) == []
    assert reported((action,)) == []
    assert reported([]) == []


def test_django_runs_the_checks() -> None:
    class WrongAdmin(ModelTaskAdmin):
        model_task_actions = ["nothing"]

    admin.site.unregister(Shelf)
    admin.site.register(Shelf, WrongAdmin)
    try:
        assert "cereal_methods.E103" in [error.id for error in run_checks()]
    finally:
        admin.site.unregister(Shelf)
        from .admin import ShelfAdmin

        admin.site.register(Shelf, ShelfAdmin)
    assert run_checks() == []
