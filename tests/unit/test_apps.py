"""The Celery apps and the Django app of a process."""

from __future__ import annotations

import pytest
from django.apps import apps

from .interpreters import SETUP, run

NAMES = [
    "tests.shop.models.Order.ship",
    "tests.shop.models.Gift.ship",
    "tests.shop.models.Order.paid.count_all",
    "tests.shop.models.Order.number_all",
    "shop.charge",
    "cereal_methods.starmap",
]


@pytest.mark.parametrize(
    "program",
    [
        "import tests.celery; django.setup(); app = tests.celery.app",
        "django.setup(); import tests.celery; app = tests.celery.app",
        "django.setup(); from celery import Celery; app = Celery('later')",
        "from celery import Celery; app = Celery('before'); django.setup()",
    ],
    ids=["app first", "models first", "an app without settings", "finalized later"],
)
def test_the_tasks_of_installed_models_are_on_the_app(program: str) -> None:
    # A worker imports the same: INSTALLED_APPS is all that it is told.
    found = run("import django", program, f"print([n in app.tasks for n in {NAMES}])")

    assert found == str([True] * len(NAMES))


def test_the_tasks_are_on_an_app_that_is_made_later() -> None:
    found = run(
        SETUP,
        f"""
        from celery import Celery, Task, current_app
        from tests.shop.models import Order

        class Special(Task):
            abstract = True

        first = Order.ship.task
        later = Celery("later", set_as_current=False, task_cls=Special)
        print([name in later.tasks for name in {NAMES}])
        print(first.app is tests.celery.app, Order.ship.task is first)
        later.set_current()
        print(Order.ship.task.app is later, isinstance(Order.ship.task, Special))
        """,
    )

    assert found.splitlines() == [str([True] * len(NAMES)), "True True", "True True"]


def test_a_method_is_sent_by_the_current_app() -> None:
    found = run(
        """
        import tests.celery, django
        from celery import Celery

        django.setup()
        from tests.shop.models import Order
        from tests.unit.bodies import stored

        app = Celery("other", broker="memory://", backend=None)
        app.conf.update(accept_content=["cereal-pickle"], task_default_queue="others")
        stored(Order, pk=5).ship.delay("dhl")
        with app.connection_for_read() as connection:
            queue = app.amqp.queues["others"](connection.default_channel)
            print(queue.get(no_ack=True, accept=["cereal-pickle"]).headers["task"])
        """
    )

    assert found == "tests.shop.models.Order.ship"


def test_the_django_app_has_no_models_and_a_name() -> None:
    config = apps.get_app_config("cereal_methods")

    assert list(config.get_models()) == []
    assert config.verbose_name == "Model tasks"


def test_methods_are_tasks_although_the_app_is_not_installed() -> None:
    found = run(
        """
        import django
        from django.conf import settings

        settings.configure(
            SECRET_KEY="secret",
            INSTALLED_APPS=["tests.shop"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        )
        django.setup()
        from celery import Celery
        from tests.shop.models import Order

        app = Celery("shop")
        print(Order.ship.task.app is app, Order.ship.name)
        """
    )

    assert found == "True tests.shop.models.Order.ship"
