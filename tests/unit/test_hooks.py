"""Hooks of task classes that end a task before its method has its row."""

from __future__ import annotations

from .interpreters import SETUP, run

MODEL = """
from celery import Task, current_app
from django.core.management import call_command
from django.db import models, transaction

from cereal_methods import model_task
from cereal_methods.testing import record_tasks

ran = []

class Gate(Task):
    def before_start(self, task_id, args, kwargs):
        ran.append(self.request.kwargsrepr)
        if self.request.retries == 0:
            raise self.retry(countdown=1)

class Thing(models.Model):
    class Meta:
        app_label = "shop"

    @model_task(base=Gate, manager="objects")
    def gated(self, what="nothing", *, how="anyhow"):
        ran.append((what, how))

    @model_task(select_for_update=True)
    def locked(self):
        ran.append(transaction.get_connection().in_atomic_block)

call_command("migrate", run_syncdb=True, verbosity=0)
thing = Thing.objects.create()
"""


def test_a_retry_before_the_task_begins_keeps_arguments_and_texts() -> None:
    program = """
    with record_tasks() as tasks:
        thing.gated.apply_async(["this"], {"how": "so"}, kwargsrepr="{hidden}")
        tasks.run()
    print(ran)
    """

    assert run(SETUP, MODEL, program) == "['{hidden}', '{hidden}', ('this', 'so')]"


def test_an_instance_that_is_sent_by_name_is_fetched_as_the_method_wants_it() -> None:
    program = """
    from cereal_methods.policies import RowPolicy
    RowPolicy.check_dispatch = lambda policy, reference, name: None  # SQLite has no locks
    with record_tasks() as tasks:
        for serializer in ("cereal-json", "cereal-pickle"):
            name = thing.locked.task.name
            current_app.send_task(name, [], {"this": thing}, serializer=serializer)
        tasks.run()
    print(ran)
    """

    assert run(SETUP, MODEL, program) == "[True, True]"
