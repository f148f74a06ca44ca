"""The system check of ``beat_schedule``."""

from __future__ import annotations

from typing import Any

import pytest
from celery.schedules import crontab
from django.core.checks import run_checks

from cereal_methods.sending.schedules import BULK
from tests.celery import app
from tests.shop.models import Order

from ..bodies import stored
from .checking import Checked

ORDER = "tests.shop.models.Order"
TASKS = [
    *(f"{ORDER}.{name}" for name in ("count", "number_all", "ship", "trace")),
    "tests.shop.models.Document.publish",
    BULK,
]

FORM = (
    'Write "kwargs": {"this": <primary key>, ...}, or send it for many rows with the '
    "task 'cereal_methods.bulk'."
)

RIGHT: list[dict[str, Any]] = [
    {"task": f"{ORDER}.count", "kwargs": {"this": 5}},
    {"task": f"{ORDER}.count", "kwargs": {"this": "5"}},
    {"task": f"{ORDER}.ship", "args": ("dhl",), "kwargs": {"this": 5, "express": True}},
    {"task": f"{ORDER}.number_all", "args": [["a"]]},
    {"task": BULK, "args": [f"{ORDER}.ship", "paid", ["dhl"]], "schedule": crontab(hour=8)},
    {"task": BULK, "kwargs": {"method": f"{ORDER}.trace", "rows": "all", "batch_size": 500}},
    {"task": "billing.tasks.bill", "args": [1]},
    {"task": BULK, "args": ["tests.shop.models.Document.publish", "titles"]},  # it would query
    {"task": f"{ORDER}.count", "args": iter(()), "kwargs": {}},
    {"task": f"{ORDER}.count", "kwargs": {"this": stored(Order, pk=5)}},
]


@pytest.mark.parametrize("entry", RIGHT, ids=range(len(RIGHT)))
def test_entries_that_can_run_are_not_reported(checked: Checked, entry: Any) -> None:
    assert checked(*TASKS, beat_schedule={"it": entry}) == []


WRONG = [
    ({"task": f"{ORDER}.count"}, "it is a method, and the call does not name a row.", FORM),
    (
        {"task": f"{ORDER}.count", "kwargs": {"this": "five"}},
        "'five' is not a primary key of shop.Order.",
        FORM,
    ),
    (
        {"task": "tests.shop.models.Document.publish", "kwargs": {"this": 5.5}},
        "5.5 is not a primary key of shop.Document.",
        FORM,
    ),
    (
        {"task": f"{ORDER}.shipp", "kwargs": {"this": 5}},
        "shop.Order has no such task.",
        f"It has {', '.join(TASKS[:4])}.",
    ),
    (
        {"task": BULK, "args": [f"{ORDER}.trace", "payed"]},
        "shop.Order has no rows 'payed': neither a manager nor a method of its default manager has "
        "that name.",
        "Did you mean 'paid'?",
    ),
    (
        {"task": BULK, "args": [f"{ORDER}.trase", "paid"]},
        f"The task '{ORDER}.trase', to be sent for rows, does not exist.",
        f"Did you mean '{ORDER}.trace'?",
    ),
]


@pytest.mark.parametrize(("entry", "fact", "hint"), WRONG, ids=lambda each: str(each)[:60])
def test_entries_that_would_fail_are_reported(
    checked: Checked, entry: Any, fact: str, hint: str
) -> None:
    assert checked(*TASKS, beat_schedule={"it": entry}) == [
        ("E008", f"beat_schedule['it'] cannot run {entry['task']}: {fact}", hint)
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"task": f"{ORDER}.ship", "kwargs": {"this": 5}},
        {"task": BULK, "args": [f"{ORDER}.ship", "paid"]},
        {"task": BULK, "args": [f"{ORDER}.trace"]},
        {"task": BULK, "args": [f"{ORDER}.trace", "paid"], "kwargs": {"size": 5}},
        {"task": BULK, "args": [f"{ORDER}.trace", "paid"], "kwargs": {"batch_size": 0}},
        {"task": BULK, "args": [f"{ORDER}.trace", "paid"], "kwargs": {"options": {"queu": "x"}}},
    ],
    ids=str,
)
def test_arguments_that_do_not_fit_are_reported(checked: Checked, entry: Any) -> None:
    ((code, _, hint),) = checked(*TASKS, beat_schedule={"it": entry})

    assert (code, hint) == ("E008", "Correct the arguments.")


def test_entries_can_be_signatures(checked: Checked) -> None:
    order = stored(Order, pk=5)
    fresh = type(app)(set_as_current=False, fixups=[])
    fresh.add_periodic_task(1, order.ship.s("dhl"), name="one")
    fresh.add_periodic_task(1, Order.ship.bulk_s("paid", "dhl"), name="many")
    entries = {key: dict(entry) for key, entry in fresh.conf.beat_schedule.items()}

    assert sorted(entries) == ["many", "one"]
    assert checked(*TASKS, beat_schedule=entries) == []


@pytest.mark.django_db
def test_the_check_runs_no_query(checked: Checked, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        checked(*TASKS, beat_schedule=dict(enumerate(RIGHT)))
        assert run_checks(tags=["cereal_methods"]) == []
