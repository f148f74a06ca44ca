"""The methods that model_tasks lists."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import override_settings

from tests.celery import app

from .commands import run

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


def test_method_tasks_are_listed_in_a_table() -> None:
    assert run("model_tasks", "shop.Document") == (
        0,
        "Method                 Task                                Runs on  Serializer     Queue "
        "  Policies  Aliases  Description\n"
        "shop.Document.publish  tests.shop.models.Document.publish  row      cereal-pickle  celery"
        "  -         -        Return the document's title.\n",
        "",
        [],
    )


def test_the_table_says_what_differs_from_the_defaults() -> None:
    lines = run("model_tasks", "shop.Order").out.splitlines()
    table = {line.split()[0]: re.split(r" {2,}", line)[5] for line in lines[1:]}

    assert list(table) == sorted(table)
    expected = {
        "shop.Order.ship": "-",
        "shop.Order.add_locked": "select_for_update",
        "shop.Order.add_nowait": "select_for_update(nowait)",
        "shop.Order.add_or_skip": "select_for_update(skip_locked)",
        "shop.Order.ship_later": "on_missing=retry",
        "shop.Order.ship_on_commit": "on_commit",
        "shop.Order.ship_or_not": "on_missing=discard",
        "shop.Order.ship_or_note": "on_missing=note_missing",
        "shop.Order.ship_paid": "on_missing=discard, manager=paid",
        "shop.Order.summary": "select_related=customer, prefetch_related=line_set",
    }
    assert expected.items() <= table.items()
    assert len({line.index(re.split(r" {2,}", line)[-1]) for line in lines}) == 1


def listed(*args: str) -> dict[str, dict[str, Any]]:
    return {
        entry["method"]: entry
        for entry in json.loads(run("model_tasks", *args, "--format=json").out)
    }


def test_method_tasks_are_listed_in_json() -> None:
    assert listed("shop.Document") == {
        "shop.Document.publish": {
            "method": "shop.Document.publish",
            "task": "tests.shop.models.Document.publish",
            "model": "shop.Document",
            "runs_on": "row",
            "serializer": "cereal-pickle",
            "queue": "celery",
            "on_missing": "raise",
            "on_commit": False,
            "select_for_update": False,
            "select_related": False,
            "prefetch_related": [],
            "manager": None,
            "aliases": [],
            "description": "Return the document's title.",
        }
    }


def test_every_method_task_of_the_app_is_listed_once() -> None:
    entries = listed()

    # Other tests have models of their own in the app.
    names = [entry["task"] for entry in entries.values()]
    ours = [name for name in app.tasks if name.startswith("tests.shop.models.")]
    assert sorted(name for name in names if name.startswith("tests.shop.models.")) == sorted(ours)
    assert names.count("shop.bill") == 1
    assert len(names) == len(set(names))
    assert {entry["runs_on"] for entry in entries.values()} == {"row", "class", "manager"}
    assert entries["shop.Order.bill"]["aliases"] == ["shop.invoice", "shop.charge"]
    assert entries["shop.Gift.paid.count_all"]["runs_on"] == "manager"
    assert "shop.Gift.bill" not in entries


def test_apps_and_models_narrow_the_list() -> None:
    assert set(listed("shop.document", "shop.Order")) == {
        *listed("shop.Document"),
        *listed("shop.Order"),
    }
    assert {**listed("shop"), **listed("bank")} == listed()
    assert run("model_tasks", "cereal_methods").out == "These models have no method tasks.\n"
    assert run("model_tasks", "shop.Country", "--format", "json").out == "[]\n"
    assert run("model_tasks", "shop.Ordr")[:3] == (
        1,
        "",
        "The app 'shop' has no model 'Ordr'. Did you mean 'Order'?",
    )
    assert run("model_tasks", "shp").error == (
        "No installed app has the label 'shp'. Did you mean 'shop'?"
    )


def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None) -> Any:
    return {"queue": f"for-{kwargs['this']}"}


@pytest.mark.parametrize(
    ("routes", "queue"),
    [
        ({"tests.shop.models.Document.*": {"queue": "documents"}}, "documents"),
        ({"tests.shop.models.Order.*": "orders"}, "celery"),
        (route, None),
    ],
    ids=["matches", "of others", "by arguments"],
)
def test_the_queue_is_that_of_the_apps_routing(routes: Any, queue: str | None) -> None:
    before = app.conf.task_routes
    app.conf.task_routes = routes
    app.amqp.__dict__.pop("router", None)
    app.amqp._rtable = None
    try:
        result = listed("shop.Document")["shop.Document.publish"]["queue"]
        table = run("model_tasks", "shop.Document").out.splitlines()[1]
    finally:
        app.conf.task_routes = before
        app.amqp.__dict__.pop("router", None)
        app.amqp._rtable = None

    assert result == queue
    assert re.split(r" {2,}", table)[4] == (queue or "?")


def test_the_setting_on_commit_is_every_methods() -> None:
    with override_settings(CEREAL_METHODS={"ON_COMMIT": True}):
        assert listed("shop.Document")["shop.Document.publish"]["on_commit"] is True
