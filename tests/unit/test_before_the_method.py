"""What hooks find and change before a method begins, and what of it the method gets."""

from __future__ import annotations

import pytest

from .interpreters import SETUP, run

MODEL = """
import pickle

from celery import Task
from django.core.management import call_command
from django.core.serializers import serialize
from django.db import models

from cereal_methods import model_task
from cereal_methods.testing import record_tasks

found = []
look = print

class Curious(Task):
    def before_start(self, task_id, args, kwargs):
        look(args, kwargs)

class Box:
    def __init__(self, thing):
        self.thing = thing

class Thing(models.Model):
    label = models.CharField(max_length=20, default="a field")
    reference = models.CharField(max_length=20, default="another")

    class Meta:
        app_label = "shop"

    @model_task(base=Curious)
    def go(self, *args, **kwargs):
        found.append((args, kwargs))

call_command("migrate", run_syncdb=True, verbosity=0)
thing, other = Thing.objects.create(), Thing.objects.create()

def send(*args, **kwargs):
    with record_tasks() as tasks:
        thing.go.apply_async(args, kwargs, serializer=serializer)
        tasks.run()
"""


@pytest.fixture(params=["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"])
def serializer(request: pytest.FixtureRequest) -> str:
    """The program's line that says by which serializer it sends."""
    return f"serializer = {request.param!r}\n"


def test_a_field_of_a_row_may_have_any_name(serializer: str) -> None:
    program = """
    def look(args, kwargs):
        for row in (kwargs["this"], kwargs["other"]):
            print(row.label, row.reference, row.using)
            print(serialize("json", [row]) == serialize("json", [Thing.objects.get(pk=row.pk)]))
    send(other=other)
    """

    assert (
        run(SETUP, MODEL, serializer, program).splitlines()
        == [
            "a field another default",
            "True",
        ]
        * 2
    )


def test_the_method_gets_what_a_hook_changes_beside_rows(serializer: str) -> None:
    program = """
    def look(args, kwargs):
        args[0].append(3)
        kwargs["of"]["more"] = 4
        kwargs["of"]["deep"][0]["most"] = 5
    send([2], of={"other": other, "deep": [{"other": other}]})
    print(found == [(([2, 3],), {"of": {
        "other": other, "more": 4, "deep": [{"other": other, "most": 5}]
    }})])
    """

    assert run(SETUP, MODEL, serializer, program) == "True"


def test_objects_are_made_of_the_rows_of_the_method_wherever_a_hook_has_moved_them() -> None:
    program = """
    def look(args, kwargs):
        args[0].insert(0, "first")
        kwargs["boxes"].reverse()
    send([1], boxes=[Box(thing), "between", Box(other)], all={Box(other), Box(thing)})
    ((first,), named), = found
    print(first, [type(getattr(each, "thing", each)) for each in named["boxes"]])
    print(named["boxes"][0].thing == other, {type(box.thing) for box in named["all"]})
    """

    assert run(SETUP, MODEL, "serializer = 'cereal-pickle'", program).splitlines() == [
        "['first', 1] [<class '__main__.Thing'>, <class 'str'>, <class '__main__.Thing'>]",
        "True {<class '__main__.Thing'>}",
    ]


def test_what_reads_arguments_without_asking_them_finds_them(serializer: str) -> None:
    program = """
    def look(args, kwargs):  # as an encoder does that is written in C
        print(list.__len__(args), dict.__len__(kwargs))
    send(1, 2, other=other)
    """

    assert run(SETUP, MODEL, serializer, program) == "2 2"


@pytest.mark.parametrize(
    "hook", ["before_start(self, task_id, args, kwargs)", "__call__(self, **kwargs)"]
)
@pytest.mark.parametrize("this", ["thing.pk", "ModelReference.of(thing).as_plain()", "thing"])
def test_a_row_that_is_sent_by_its_key_is_a_row_to_hooks(
    serializer: str, hook: str, this: str
) -> None:
    program = f"""
    from cereal_methods.references import ModelReference
    from tests.celery import app
    class Looks(Task):
        def {hook}:
            print(kwargs["this"].label)
            return self.run(**kwargs) if "call" in {hook!r} else None
    class Looked(models.Model):
        label = models.CharField(max_length=20, default="a field")
        class Meta:
            app_label = "shop"
        @model_task(base=Looks)
        def go(self): ...
    call_command("migrate", run_syncdb=True, verbosity=0)
    thing = Looked.objects.create()
    with record_tasks() as tasks:
        app.send_task(thing.go.name, (), {{"this": {this}}}, serializer=serializer)
        tasks.run()
    """

    assert run(SETUP, MODEL, serializer, program) == "a field"


def test_a_row_that_a_hook_saves_as_a_copy_is_the_copy(serializer: str) -> None:
    program = """
    def look(args, kwargs):
        row = kwargs["other"]
        row.pk, row._state.adding, row.label = None, True, "a copy"
        row.save()
        print(row.pk, row.id, repr(row))
        args.append(row)
    send(other=other)
    print([row.label for row in found[0][0]], found[0][1]["other"].pk)
    """

    assert run(SETUP, MODEL, serializer, program).splitlines() == [
        "3 3 <shop.Thing 3>",
        "['a copy'] 3",
    ]
