"""Fixtures of the unit tests, which need no server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps

from cereal_methods.sending import method_tasks
from tests.celery import app

from .bodies import NAMES

if TYPE_CHECKING:
    from tests.shop.models import Order


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """The name of each serializer in turn."""
    name: str = request.param
    return name


@pytest.fixture
def order(db: None) -> Order:
    """An order in the database."""
    from tests.shop.models import Order  # the tests of the admin have other models

    return Order.objects.create(pk=5, number="5")


@pytest.fixture
def other(db: None) -> Order:
    """Another order in the database."""
    from tests.shop.models import Order  # the tests of the admin have other models

    return Order.objects.create(pk=6, number="6")


@pytest.fixture
def eager() -> Iterator[None]:
    """Run tasks where they are sent, as CELERY_TASK_ALWAYS_EAGER does."""
    before = app.conf.task_always_eager
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = before


@pytest.fixture
def sent() -> Iterator[Callable[[], list[Any]]]:
    """Return the messages that were sent since, from a broker in memory."""
    with app.connection_for_read() as connection:
        queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
        queue.declare()
        queue.purge()

        def messages() -> list[Any]:
            return list(iter(lambda: queue.get(no_ack=True, accept=app.conf.accept_content), None))

        yield messages
        queue.purge()


@pytest.fixture
def new_models() -> Iterator[None]:
    """Let a test define models and methods of the app ``shop``, and forget them afterwards."""
    before = dict(apps.all_models["shop"])
    tasks, listed = set(app.tasks), set(method_tasks._method_tasks)
    yield
    for name in set(method_tasks._method_tasks) - listed:
        del method_tasks._method_tasks[name]
    for name in set(apps.all_models["shop"]) - set(before):
        del apps.all_models["shop"][name]
    apps.clear_cache()
    for name in set(app.tasks) - tasks:
        del app.tasks[name]
