"""Tasks that are called directly: by other methods, by their own method, or outside a task."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from cereal_methods import model_task
from cereal_methods.running.policy import RowPolicy
from cereal_methods.running.text import row_of
from cereal_methods.testing import record_tasks
from tests.shop.models import Customer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

seen: list[Any] = []


@pytest.fixture
def customer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A customer with methods that call tasks."""
    monkeypatch.setattr(RowPolicy, "check_dispatch", lambda *about: None)  # SQLite has no locks
    seen.clear()

    class Calling(Customer):
        class Meta:
            app_label = "shop"
            proxy = True

        @model_task(bind=True, on_missing="discard")
        def go(self, task: Any, other: Any = None) -> Any:
            if other is None:
                return self.pk
            try:
                inner = task.run(this=other)
            except Calling.DoesNotExist:
                inner = "gone"
            rows = task.request.kwargs["this"], row_of(task)
            return [self.pk, inner, *(row and row.pk for row in rows)]

        @model_task(bind=True, select_for_update=True)
        def replaced(self, task: Any, fail: bool = False) -> None:
            try:
                with transaction.atomic():
                    raise task.replace(Calling.go.s(self))
            finally:
                seen.append(transaction.get_connection().in_atomic_block)
                if fail:
                    raise ValueError

        @model_task
        def fail(self) -> None:
            raise KeyError("this")

    return Calling.objects.create(name="Ann")


def test_a_method_that_calls_its_own_task_keeps_its_row(customer: Any) -> None:
    other = Customer.objects.create(name="Bob")
    with record_tasks() as tasks:
        results = customer.go.delay(other.pk), customer.go.delay(other.pk + 1)
        tasks.run()
        (called, gone) = (result.get() for result in results)

    assert called == [customer.pk, other.pk, customer.pk, customer.pk]
    assert gone == [customer.pk, "gone", customer.pk, customer.pk]


def test_a_function_called_outside_its_task_raises_its_own_error(customer: Any) -> None:
    with pytest.raises(KeyError):
        type(customer).fail.task.run(this=customer.pk)
    with pytest.raises(Customer.DoesNotExist):
        type(customer).fail.task.run(this=customer.pk + 1)


def test_a_replacement_is_sent_even_if_a_savepoint_is_rolled_back(customer: Any) -> None:
    with record_tasks() as tasks:
        customer.replaced.delay()
        tasks.run()

    assert seen == [True]
    assert [sent.args for sent in tasks] == [(), ()]


def test_a_task_that_fails_after_replace_is_not_replaced(customer: Any) -> None:
    with record_tasks() as tasks:
        customer.replaced.delay(fail=True)
        with pytest.raises(ValueError, match=r"^$"):
            tasks.run()

    assert seen == [True]
    assert len(tasks) == 1
