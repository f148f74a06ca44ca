"""Checks of the serializers of tasks and results."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from django.db import models
from django.test import override_settings

from cereal_methods import model_task
from cereal_methods.checks import accepted
from tests.celery import app
from tests.shop import tasks
from tests.shop.models import Order

from .checking import BACKEND, ME, SHIP, Checked, without_addresses


def test_a_serializer_that_workers_do_not_accept_is_reported(checked: Checked) -> None:
    assert checked(SHIP, accept_content=["json"]) == [
        (
            "E002",
            f"{SHIP} cannot be sent: accept_content lacks the serializer 'cereal-pickle', so "
            "workers would drop the messages.",
            "CELERY_ACCEPT_CONTENT = ['json', 'cereal-pickle']",
        )
    ]


def test_a_serializer_is_reported_once_for_all_its_tasks(checked: Checked) -> None:
    names = [SHIP, ME, tasks.first_of.name, "tests.shop.models.Order.ship_as_json"]

    messages = checked(*names, accept_content=["application/json"], result_backend=None)

    assert [(code, message.partition(" cannot")[0]) for code, message, _ in messages] == [
        ("E002", f"{ME} and 2 more")
    ]


def test_a_serializer_of_all_tasks_that_workers_do_not_accept_is_reported(
    checked: Checked,
) -> None:
    settings = {"accept_content": ["json"], "task_serializer": "cereal-json"}

    assert checked("tests.shop.models.Order.ship_as_json", **settings) == [
        (
            "E002",
            "Tasks without a serializer of their own cannot be sent: accept_content lacks "
            "task_serializer, 'cereal-json', so workers would drop the messages.",
            "CELERY_ACCEPT_CONTENT = ['json', 'cereal-json']",
        )
    ]


@pytest.mark.parametrize("accepted", ["cereal-pickle", "application/x-cereal-pickle"])
def test_names_and_content_types_are_accepted(checked: Checked, accepted: str) -> None:
    assert checked(SHIP, accept_content=["json", accepted]) == []


def test_an_unknown_name_does_not_fail_the_check(checked: Checked) -> None:
    assert checked(SHIP, accept_content=["jsn", "cereal-pickle"]) == []


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("cereal-yaml", "yaml", "django-cereal-methods[yaml]"),
        ("cereal-msgpack", "msgpack", "django-cereal-methods[msgpack]"),
        ("yaml", "yaml", "PyYAML"),
    ],
)
def test_a_serializer_whose_library_is_missing_is_reported(
    checked: Checked, monkeypatch: pytest.MonkeyPatch, name: str, package: str, install: str
) -> None:
    monkeypatch.setattr(accepted, "find_spec", lambda asked: None if asked == package else 1)

    assert checked(ME, accept_content=["json"], result_backend="cache+memory://")[0][0] == "E002"
    messages = checked(SHIP, result_serializer=name, result_backend="cache+memory://")
    assert messages == [
        (
            "E003",
            f"Results cannot be stored: the result_serializer {name!r} needs the package "
            f"{package!r}.",
            f"python -m pip install '{install}'",
        )
    ]


def test_a_methods_serializer_that_does_not_exist_is_reported(
    checked: Checked, new_models: None
) -> None:
    class Typo(models.Model):
        class Meta:
            app_label = "shop"

        @model_task(serializer="cereal-jsn")
        def go(self) -> None: ...

    ((code, message, hint),) = checked(Typo.go.name)

    assert code == "E003"
    assert message == f"{Typo.go.name} cannot be sent: the serializer 'cereal-jsn' does not exist."
    assert str(hint).startswith("Correct the name. The serializers are cereal-json, ")


def test_results_that_cannot_be_read_are_reported(checked: Checked) -> None:
    settings = {"result_serializer": "cereal-json", "result_backend": "cache+memory://"}

    assert checked(SHIP, **settings) == []
    assert checked(SHIP, **settings, result_accept_content=["cereal-json"]) == []
    assert checked(SHIP, **settings, result_accept_content=["json"]) == [
        (
            "E004",
            "Results cannot be read: result_accept_content lacks the result_serializer "
            "'cereal-json'.",
            "CELERY_RESULT_ACCEPT_CONTENT = ['json', 'cereal-json']",
        )
    ]
    assert [
        code for code, *_ in checked(SHIP, **settings, accept_content=["json", "cereal-pickle"])
    ] == ["E004"]
    assert checked(SHIP, result_serializer="cereal-json", result_accept_content=["json"]) == []


def test_results_that_cannot_carry_the_instances_of_a_method_are_reported(checked: Checked) -> None:
    assert checked(SHIP, ME, result_serializer="json", **BACKEND) == [
        (
            "W001",
            f"According to its annotation, {ME} returns model instances, which the "
            "result_serializer 'json' cannot carry. The task would fail after its work.",
            "Set CELERY_RESULT_SERIALIZER = 'cereal-json' and CELERY_ACCEPT_CONTENT = ['json', "
            "'cereal-pickle', 'cereal-json', 'cereal-yaml', 'cereal-msgpack'], or use "
            "'cereal-pickle' in both. Or set ignore_result=True on the task.",
        )
    ]
    assert checked(SHIP, ME, result_serializer="cereal-pickle", **BACKEND) == []
    assert checked(SHIP, ME, result_serializer="json") == []


@pytest.mark.parametrize(
    ("annotation", "options", "is_reported"),
    [
        (Order, {}, True),
        ("Order", {}, True),
        (list[Order], {}, True),
        ("dict[str, tuple[Order, int]]", {}, True),
        ("Order | None", {}, True),
        ("models.QuerySet[Order]", {}, True),
        ("Self", {}, True),
        ("Order", {"ignore_result": True}, False),
        ("Unknown", {}, False),
        ("list[int]", {}, False),
        (None, {}, False),
    ],
    ids=without_addresses,
)
def test_annotations_say_what_a_method_returns(
    checked: Checked, new_models: None, annotation: Any, options: Any, is_reported: bool
) -> None:
    def go(self: Any) -> Any: ...

    go.__annotations__ = {"return": annotation}
    attributes = {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "shop"})}
    model: Any = type("Told", (models.Model,), {**attributes, "go": model_task(**options)(go)})

    messages = checked(model.go.name, result_serializer="json", **BACKEND)

    assert [code for code, *_ in messages] == (["W001"] if is_reported else [])


def test_hints_that_come_together_agree(checked: Checked) -> None:
    names = [SHIP, "tests.shop.models.Order.ship_as_json"]
    settings = {
        "accept_content": ["json", "pickle", "application/x-python-serialize"],
        "task_serializer": "cereal-yaml",
        "result_serializer": "cereal-msgpack",
        **BACKEND,
    }

    messages = checked(*names, **settings)

    assert [code for code, *_ in messages] == ["E002", "E002", "E004"]
    (hint,) = {hint for *_, hint in messages}
    accepted = ast.literal_eval(hint.removeprefix("CELERY_ACCEPT_CONTENT = "))
    assert accepted[0] == "json"
    assert {"pickle", "application/x-python-serialize"}.isdisjoint(accepted)
    assert checked(*names, **{**settings, "accept_content": accepted}) == []


def test_the_hint_for_plain_pickle_is_cereal_pickle(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = app.tasks[SHIP]
    for serializer in ("pickle", "yaml"):
        monkeypatch.setattr(task, "serializer", serializer)
        ((code, _, hint),) = checked(SHIP, accept_content=["json"])
        assert code == "E002"
        assert hint == (
            "CELERY_ACCEPT_CONTENT = ['json', 'yaml']"
            if serializer == "yaml"
            else "Use serializer='cereal-pickle'. A worker that accepts plain pickle runs any code "
            "that it is sent."
        )


def test_hints_never_name_plain_pickle(checked: Checked) -> None:
    results = {"result_accept_content": ["pickle"], "result_serializer": "cereal-json", **BACKEND}
    hints = [
        *checked(SHIP, accept_content=["pickle"], **results),
        *checked(ME, accept_content=["pickle"], result_serializer="json", **BACKEND),
        *checked(SHIP, result_serializer="jsn", **BACKEND),
    ]

    assert {code for code, *_ in hints} == {"E002", "E003", "E004", "W001"}
    for *_, hint in hints:
        assert "'pickle'" not in hint
        assert " pickle" not in hint


@override_settings(CEREAL_METHODS={"REQUIRE_SIGNED": True})
def test_serializers_that_do_not_sign_are_reported_where_signatures_are_required(
    checked: Checked,
) -> None:
    assert checked(SHIP, "tests.shop.models.Order.ship_as_json", task_serializer="json") == [
        (
            "E012",
            "Workers would refuse Celery's own tasks, such as celery.chord_unlock and celery.map: "
            "task_serializer, 'json', does not sign, and CEREAL_METHODS['REQUIRE_SIGNED'] is True.",
            "CELERY_TASK_SERIALIZER = 'cereal-json'",
        ),
        (
            "E012",
            "Workers would refuse the messages of tests.shop.models.Order.ship_as_json: the "
            "serializer 'json' does not sign, and CEREAL_METHODS['REQUIRE_SIGNED'] is True.",
            "Use serializer='cereal-json', or leave the option out.",
        ),
    ]


@override_settings(CEREAL_METHODS={"REQUIRE_SIGNED": True})
def test_serializers_that_sign_are_not_reported(checked: Checked) -> None:
    assert checked(SHIP, ME, task_serializer="cereal-json") == []
