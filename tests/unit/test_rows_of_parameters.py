"""Which of a function's parameters the options in ``rows`` are for."""

from __future__ import annotations

from .interpreters import SETUP, run

MODEL = """
from django.core.management import call_command
from django.db import models

from cereal_methods import task
from cereal_methods.testing import record_tasks

class Shown(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(hidden=False)

class Thing(models.Model):
    hidden = models.BooleanField(default=False)
    objects = models.Manager()
    shown = Shown()

    class Meta:
        app_label = "shop"

call_command("migrate", run_syncdb=True, verbosity=0)
hidden, thing = Thing.objects.create(hidden=True), Thing.objects.create()

def send(task, *args, **kwargs):
    with record_tasks() as tasks:
        result = task.delay(*args, **kwargs)
        try:
            tasks.run()
        except Thing.DoesNotExist:
            print("gone")
        else:
            print(result.state)
"""


def test_those_of_a_keyword_are_not_those_of_further_positional_arguments() -> None:
    program = """
    @task(rows={"flag": {"manager": "shown"}})
    def go(first, *rest, flag=None): ...
    send(go, hidden, hidden, hidden, flag=thing)
    send(go, thing, thing, thing, flag=hidden)
    """

    assert run(SETUP, MODEL, program).splitlines() == ["SUCCESS", "gone"]


def test_those_of_further_positional_arguments_are_for_each_of_them() -> None:
    program = """
    @task(rows={"rest": {"manager": "shown"}})
    def go(first, *rest, flag=None): ...
    send(go, hidden, thing, thing, flag=hidden)
    send(go, thing, thing, thing, hidden)
    """

    assert run(SETUP, MODEL, program).splitlines() == ["SUCCESS", "gone"]


def test_keywords_that_a_function_does_not_name_have_none() -> None:
    program = """
    try:
        @task(rows={"more": {"manager": "shown"}})
        def go(first, **more): ...
    except Exception as error:
        print(type(error).__name__)
    """

    assert run(SETUP, MODEL, program) == "InvalidModelTask"


def test_rows_of_several_models_are_asked_for_in_one_order() -> None:
    program = """
    from cereal_methods.hydration import fetch_all
    from cereal_methods.references import ModelReference
    from tests.shop.models import Order
    Order.objects.create()
    found = [ModelReference.of(each) for each in (thing, Order.objects.get())]
    asked = []
    def query(model, using, keys):
        asked.append(model._meta.label)
        return model.objects.in_bulk(keys)
    for references in (found, found[::-1]):
        fetch_all(references, query=query)
    print(*asked)
    """

    assert run(SETUP, MODEL, program) == "shop.Order shop.Thing shop.Order shop.Thing"
