"""The form that is made from a method's signature."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.test import RequestFactory

from cereal_methods.admin import ModelTaskAction
from cereal_methods.admin.actions import MethodAction
from cereal_methods.admin.fields import NoFormField

from .models import Box, Shelf

REQUEST = RequestFactory().get("/")

#: What is filled in for each of the arguments.
GIVEN = {
    "text": "some",
    "number": "7",
    "ratio": "0.5",
    "price": "9.90",
    "day": "2026-02-03",
    "moment_0": "2026-02-03",
    "moment_1": "04:05",
    "time": "04:05",
    "span": "3 00:00:00",
    "key": "7d1b9a5e-7d6e-4b0c-9c5c-2f1f0f4f3f11",
    "size": "l",
    "shelf": "",
    "maybe": "unknown",
    "plain": "6",
    "empty": "",
    "blank": "",
}

CLEANED = {
    "text": "some",
    "number": 7,
    "ratio": 0.5,
    "price": Decimal("9.90"),
    "day": datetime.date(2026, 2, 3),
    "moment": datetime.datetime(2026, 2, 3, 4, 5, tzinfo=datetime.UTC),
    "time": datetime.time(4, 5),
    "span": datetime.timedelta(days=3),
    "key": uuid.UUID("7d1b9a5e-7d6e-4b0c-9c5c-2f1f0f4f3f11"),
    "size": Box.Size.LARGE,
    "shelf": None,
    "yes": False,
    "maybe": None,
    "plain": 6,
    "empty": "",
    "blank": "",
}


def of(name: str, **options: Any) -> MethodAction:
    return MethodAction(admin.site._registry[Box], ModelTaskAction(name, **options))


def form(name: str, **options: Any) -> Any:
    return of(name, **options).form_class(REQUEST)


@pytest.mark.django_db
def test_each_type_has_its_field(settings: Any) -> None:
    settings.TIME_ZONE = "UTC"
    filled = form("ask_all")(GIVEN)

    assert filled.is_valid(), filled.errors
    assert filled.cleaned_data == CLEANED
    assert {name: type(value) for name, value in filled.cleaned_data.items()} == {
        name: type(value) for name, value in CLEANED.items()
    }


def test_the_fields_look_like_those_of_the_admin() -> None:
    fields = form("ask_all").base_fields

    assert {name: type(field.widget).__name__ for name, field in fields.items()} == {
        "text": "AdminTextInputWidget",
        "number": "AdminIntegerFieldWidget",
        "ratio": "NumberInput",
        "price": "NumberInput",
        "day": "AdminDateWidget",
        "moment": "AdminSplitDateTime",
        "time": "AdminTimeWidget",
        "span": "TextInput",
        "key": "AdminUUIDInputWidget",
        "size": "Select",
        "shelf": "Select",
        "yes": "CheckboxInput",
        "maybe": "NullBooleanSelect",
        "plain": "AdminIntegerFieldWidget",
        "empty": "AdminTextInputWidget",
        "blank": "AdminTextInputWidget",
    }
    assert {name for name, field in fields.items() if not field.required} == {
        "shelf",
        "yes",
        "maybe",
        "empty",
        "blank",
    }
    assert (fields["yes"].initial, fields["plain"].initial) == (True, 5)
    assert fields["size"].choices == [("", "---------"), ("s", "Small one"), ("l", "Large one")]


@pytest.mark.django_db
def test_values_that_do_not_fit_are_refused() -> None:
    wrong = {**GIVEN, "number": "many", "price": "", "size": "xl", "key": "5", "shelf": "5"}

    assert set(form("ask_all")(wrong).errors) == {"number", "price", "size", "key", "shelf"}


def test_a_literal_is_a_choice_and_a_default_is_initial() -> None:
    fields = form("ship").base_fields

    assert list(fields) == ["carrier", "days"]  # and not the task, which bind passes
    assert fields["carrier"].choices == [("", "---------"), ("dhl", "dhl"), ("ups", "ups")]
    assert fields["days"].initial == 3


@pytest.mark.django_db
def test_rows_are_those_that_their_own_admin_shows() -> None:
    shelf = Shelf.objects.create(name="A")
    secret = Shelf.objects.create(name="B", is_secret=True)

    assert form("move")({"to": shelf.pk}).is_valid()
    assert not form("move")({"to": secret.pk}).is_valid()
    assert list(form("move")().fields["to"].queryset) == [shelf]


@pytest.mark.django_db
def test_an_optional_text_that_is_empty_is_none() -> None:
    filled = form("move")({"to": Shelf.objects.create(name="A").pk, "note": ""})

    assert filled.is_valid()
    assert filled.cleaned_data["note"] is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("unknown", "it has no annotation"),
        ("items", "list[str] has no form field"),
        ("strange", "its annotation cannot be resolved: name 'Nowhere' is not defined"),
        ("either", "int | str has no form field"),
    ],
)
def test_an_argument_without_a_field_has_a_reason(name: str, why: str) -> None:
    (argument,) = (argument for argument in of("odd").all_arguments if argument.name == name)

    with pytest.raises(NoFormField) as caught:
        argument.form_field(admin.site._registry[Box], REQUEST)

    assert str(caught.value) == why


def test_only_the_named_arguments_are_asked_for_in_their_order() -> None:
    assert list(form("ask_all", fields=["number", "text"]).base_fields) == ["number", "text"]


def test_a_form_may_be_given() -> None:
    class Given(forms.Form):
        carrier = forms.CharField()

    assert form("ship", form=Given) is Given


def test_arguments_that_are_positional_only_are_sent_so() -> None:
    assert of("move").call({"note": "n", "to": "shelf"}) == (["shelf"], {"note": "n"})
