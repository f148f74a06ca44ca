"""Handlers that end a task before its method has its row, and rows that are sent by name."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Task, current_app
from django.db import transaction

from cereal_methods import model_task
from cereal_methods.running.policy import RowPolicy
from cereal_methods.testing import record_tasks
from tests.shop.models import Customer

pytestmark = pytest.mark.usefixtures("new_models")


class Gate(Task):  # type: ignore[type-arg]
    """A task class that retries each task once before it starts."""

    seen: list[Any]

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Retry the task."""
        self.seen.append(self.request.kwargsrepr)
        if self.request.retries == 0:
            raise self.retry(countdown=1)


@pytest.fixture
def gated(db: None) -> Any:
    """A customer with a method whose task class has a handler."""
    Gate.seen = []

    class Gated(Customer):
        class Meta:
            app_label = "shop"
            proxy = True

        @model_task(base=Gate, manager="objects")
        def go(self, what: str = "nothing", *, how: str = "anyhow") -> None:
            Gate.seen.append((what, how))

        @model_task(select_for_update=True)
        def lock(self) -> None:
            Gate.seen.append(transaction.get_connection().in_atomic_block)

    return Gated.objects.create(name="Ann")


@pytest.mark.django_db
def test_a_retry_before_the_task_starts_keeps_arguments_and_texts(gated: Any) -> None:
    with record_tasks() as tasks:
        gated.go.apply_async(["this"], {"how": "so"}, kwargsrepr="{hidden}")
        tasks.run()

    assert Gate.seen == ["{hidden}", "{hidden}", ("this", "so")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("serializer", ["cereal-json", "cereal-pickle"])
def test_an_instance_that_is_sent_by_name_is_fetched_by_the_policy(
    gated: Any, serializer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RowPolicy, "check_dispatch", lambda *about: None)  # SQLite has no locks
    with record_tasks() as tasks:
        current_app.send_task(gated.lock.name, [], {"this": gated}, serializer=serializer)
        tasks.run()

    assert Gate.seen == [True]


def test_a_signature_that_is_asked_for_outside_of_a_run_has_no_arguments(gated: Any) -> None:
    signature = gated.go.task.signature_from_request()

    assert (signature.task, signature.args, signature.kwargs) == (gated.go.name, (), {})
