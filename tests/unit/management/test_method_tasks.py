"""The method that a command's argument names."""

from __future__ import annotations

from typing import Any

import pytest

from tests.shop.models import Country, Gift

from .commands import keys_in, orders, send

pytestmark = pytest.mark.django_db(databases=["default", "archive"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "shp.Order.ship",
            "No installed app has the label 'shp'. Did you mean 'shop'?",
        ),
        (
            "warehouse.Order.ship",
            "No installed app has the label 'warehouse'. Installed are bank, "
            "cereal_methods, cereal_records, shop.",
        ),
        (
            "shop.Ordr.ship",
            "The app 'shop' has no model 'Ordr'. Did you mean 'Order'?",
        ),
        (
            "cereal_methods.Order.ship",
            "The app 'cereal_methods' has no model 'Order'. It has no models.",
        ),
        (
            "shop.Order.shp",
            "shop.Order has no method 'shp'. Did you mean 'ship'?",
        ),
        (
            "shop.Document.burn",
            "shop.Document has no method 'burn'. Its method tasks are publish.",
        ),
        (
            "shop.Document.save",
            "shop.Document.save is no method task: @model_task does not stand on it. Its method "
            "tasks are publish.",
        ),
        (
            "shop.Customer.save",
            "shop.Customer.save is no method task: @model_task does not stand on it. It has no "
            "method tasks.",
        ),
        (
            "shop.Order.number_all",
            "shop.Order.number_all is a method of a class, which has no rows to run on. Send it "
            "with delay(), from code.",
        ),
        (
            "shop.order.number_all",
            "shop.Order.number_all is a method of a class, which has no rows to run on. Send it "
            "with delay(), from code.",
        ),
        (
            "shop.Order.paid.count_all",
            "shop.Order.paid.count_all is a method of a manager, which has no rows to run on. Send "
            "it with delay(), from code.",
        ),
        (
            "publish",
            "'publish' names no method task. Write app_label.Model.method, or the name of the "
            "Celery task. Did you mean 'shop.Document.publish'?",
        ),
        (
            "tests.shop.models.Order.shp",
            "'tests.shop.models.Order.shp' names no method task. Write app_label.Model.method, or "
            "the name of the Celery task. Did you mean 'tests.shop.models.Order.ship'?",
        ),
        (
            "zzz",
            "'zzz' names no method task. Write app_label.Model.method, or the name of the Celery "
            "task. manage.py model_tasks lists them.",
        ),
    ],
)
def test_a_name_that_is_not_a_method_task_is_refused(name: str, message: str, sent: Any) -> None:
    orders()

    done = send(name, "--all")

    assert done == (1, "", message, [])
    assert sent() == []


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("shop.Order.trace", "tests.shop.models.Order.trace"),
        ("shop.order.trace", "tests.shop.models.Order.trace"),
        ("tests.shop.models.Order.trace", "tests.shop.models.Order.trace"),
        ("tests.shop.models.PaidOrder.trace", "tests.shop.models.PaidOrder.trace"),
        ("shop.Order.bill", "shop.bill"),
        ("shop.bill", "shop.bill"),
        ("shop.charge", "shop.bill"),
    ],
)
def test_a_method_is_named_by_its_label_or_its_task(name: str, task: str, sent: Any) -> None:
    orders(1)

    assert send(name, "--all").status == 0

    assert [message.headers["task"] for message in sent()] == [task]


def test_a_child_whose_parent_has_the_task_sends_its_own_rows(sent: Any) -> None:
    orders(1)
    gift = Gift.objects.create()

    assert send("shop.Gift.bill", "--all").status == 0

    (message,) = sent()
    assert message.headers["task"] == "shop.bill"
    assert keys_in([message]) == [[gift.pk]]


def test_a_model_without_method_tasks_cannot_be_sent() -> None:
    Country.objects.create(code="de")

    assert send("shop.Country.ship", "--all").error == (
        "shop.Country has no method 'ship'. It has no method tasks."
    )
