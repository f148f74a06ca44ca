"""Methods whose tasks are called directly: by others' methods, by their own, by nobody."""

from __future__ import annotations

import pytest

from .interpreters import SETUP, run

MODEL = """
from celery import Task
from celery.app.trace import setup_worker_optimizations
from celery.exceptions import Retry
from django.core.management import call_command
from django.db import models, transaction

from cereal_methods import model_task
from cereal_methods.testing import record_tasks
from tests.celery import app

class Thing(models.Model):
    class Meta:
        app_label = "shop"

    @model_task(bind=True, on_missing="discard")
    def go(self, task, other=None):
        if other is None:
            return self.pk
        try:
            inner = task.run(this=other)
        except Thing.DoesNotExist:
            inner = "gone"
        print(self.pk, inner, task.request.kwargs["this"].pk, task.request.own.pk)

    @model_task(bind=True, select_for_update=True)
    def replaced(self, task, fail=False):
        try:
            with transaction.atomic():
                raise task.replace(Thing.go.s(self))
        finally:
            print(transaction.get_connection().in_atomic_block, len(tasks))
            if fail:
                raise ValueError

    @model_task
    def fail(self):
        raise KeyError("this")

call_command("migrate", run_syncdb=True, verbosity=0)
thing, other = Thing.objects.create(), Thing.objects.create()
from cereal_methods.policies import RowPolicy
RowPolicy.check_dispatch = lambda policy, reference, name: None  # SQLite has no locks
"""


@pytest.mark.parametrize(("key", "inner"), [("other.pk", "2"), ("99", "gone")])
def test_a_method_that_calls_its_own_task_keeps_its_row(key: str, inner: str) -> None:
    program = f"""
    with record_tasks() as tasks:
        thing.go.delay({key})
        tasks.run()
    """

    assert run(SETUP, MODEL, program) == f"1 {inner} 1 1"


@pytest.mark.parametrize(("key", "error"), [("thing.pk", "KeyError"), ("99", "DoesNotExist")])
def test_a_function_that_is_called_by_itself_raises_its_own_error(key: str, error: str) -> None:
    program = f"""
    try:
        Thing.fail.task.run(this={key})
    except Exception as error:
        print(type(error).__name__)
    """

    assert run(SETUP, MODEL, program) == error


def test_a_replacement_is_sent_though_a_savepoint_is_rolled_back() -> None:
    program = """
    with record_tasks() as tasks:
        thing.replaced.delay()
        tasks.run()
        print(len(tasks))
    """

    assert run(SETUP, MODEL, program).splitlines() == ["True 1", "2"]


def test_nothing_replaces_a_task_that_fails_after_all() -> None:
    program = """
    with record_tasks() as tasks:
        thing.replaced.delay(fail=True)
        try:
            tasks.run()
        except ValueError:
            print(len(tasks))
    """

    assert run(SETUP, MODEL, program).splitlines() == ["True 1", "1"]
