"""What hooks see of arguments that Celery's own serializer has decoded, and in eager mode."""

from __future__ import annotations

import json

import pytest

from .interpreters import SETUP, run

MODEL = """
import json

from celery import Task, current_app, signals
from django.core.management import call_command
from django.db import models

from cereal_methods import model_task
from cereal_methods.testing import record_tasks

seen = {}

def look(moment, args, kwargs):
    this = kwargs["this"]
    seen[moment] = [type(this).__name__, json.dumps(args), json.dumps(kwargs)]

class Looking(Task):
    def before_start(self, task_id, args, kwargs):
        look("before_start", args, kwargs)
        kwargs.pop("user", None)
        kwargs["added"] = len(args)
        args.append("more")

    def on_success(self, retval, task_id, args, kwargs):
        look("on_success", args, kwargs)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        look("after_return", args, kwargs)

class Mutating(Task):
    def before_start(self, task_id, args, kwargs):
        args[0]["list"].append("hook")
        kwargs["options"]["deep"]["by"] = "hook"

class Calling(Task):
    def __call__(self, *args, **kwargs):
        return super().__call__(*args, **kwargs)

    def on_success(self, retval, task_id, args, kwargs):
        look("on_success", args, kwargs)

class Thing(models.Model):
    class Meta:
        app_label = "shop"

    @model_task(base=Looking)
    def watched(self, *args, **named):
        return [type(self).__name__, list(args), named]

    @model_task(base=Calling, bind=True)
    def called(self, task, *args):
        look("request", task.request.args, task.request.kwargs)
        return [type(self).__name__, list(args)]

    @model_task(base=Mutating)
    def mutated(self, first, *others, options):
        return [first, [other.pk for other in others], options]

    @model_task
    def plain(self, *args):
        return [type(self).__name__, list(args)]

    @model_task(bind=True)
    def calls_itself(self, task, times):
        if times:
            return task(times - 1, this=self)
        return "done"

call_command("migrate", run_syncdb=True, verbosity=0)
thing = Thing.objects.create(pk=5)
"""


@pytest.mark.parametrize("serializer", ["json", "cereal-json"])
def test_hooks_see_rows_that_json_can_show_and_may_change_arguments(serializer: str) -> None:
    program = f"""
    signals.task_postrun.connect(
        lambda args, kwargs, **about: seen.update(postrun=type(kwargs["this"]).__name__),
        weak=False,
    )
    with record_tasks() as tasks:
        result = thing.watched.apply_async(["x"], {{"user": 1}}, serializer="{serializer}")
        tasks.run()
    print(json.dumps([result.get(), seen]))
    """

    result, seen = json.loads(run(SETUP, MODEL, program))

    assert result == ["Thing", ["x", "more"], {"added": 1}]
    kinds = {moment: found[0] for moment, found in seen.items() if moment != "postrun"}
    assert kinds == {"before_start": "Row", "on_success": "Thing", "after_return": "Thing"}
    assert json.loads(seen["before_start"][1]) == ["x"]
    for moment, names in {
        "before_start": ["this", "user"],
        "on_success": ["added", "this"],
    }.items():
        shown = json.loads(seen[moment][2])
        assert sorted(shown) == names
        assert type(shown["this"]) is dict
    # Celery's signals have what Celery decoded.
    assert seen["postrun"] == ("dict" if serializer == "json" else "Thing")


def test_the_requests_of_an_eager_task_with_a_call_of_its_own_have_the_row() -> None:
    program = """
    result = thing.called.apply(["x"]).get()
    print(json.dumps([result, {moment: found[0] for moment, found in seen.items()}]))
    """

    result, kinds = json.loads(run(SETUP, MODEL, program))

    assert result == ["Thing", ["x"]]
    assert kinds == {"request": "Thing", "on_success": "Thing"}


def test_a_key_in_one_of_our_serializers_is_a_row_for_hooks() -> None:
    program = """
    with record_tasks() as tasks:
        name = thing.watched.task.name
        current_app.send_task(name, [], {"this": 5}, serializer="cereal-json")
        tasks.run()
    print({moment: found[0] for moment, found in seen.items()})
    """

    assert run(SETUP, MODEL, program) == str(
        {"before_start": "Row", "on_success": "Thing", "after_return": "Thing"}
    )


def test_a_method_may_call_its_task_as_a_function() -> None:
    program = """
    print(thing.calls_itself.apply([2]).get())
    with record_tasks() as tasks:
        result = thing.calls_itself.delay(2)
        tasks.run()
        print(result.get())
    """

    assert run(SETUP, MODEL, program) == "done\ndone"


@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json"])
@pytest.mark.parametrize(
    "look",
    [
        "{**kwargs}['this']",
        "[kwargs[name] for name in kwargs.keys()][0]",
        "dict(kwargs)['this']",
        "[kwargs[name] for name in kwargs][0]",
        "kwargs.copy()['this']",
        "list(kwargs.items())[0][1]",
        "list(kwargs.values())[0]",
        "kwargs.get('this')",
        "(lambda **named: named)(**kwargs)['this']",
        "copy.copy(kwargs)['this']",
        "copy.deepcopy(kwargs)['this']",
        "(kwargs | {})['this']",
        "({} | kwargs)['this']",
        "kwargs.setdefault('this', None)",
        "([*args], kwargs['this'])[1]",
        "(json.dumps(kwargs), kwargs['this'])[1]",
    ],
)
def test_a_handler_finds_a_row_whatever_it_does_first(look: str, serializer: str) -> None:
    program = f"""
    import copy

    def handle(args, kwargs, **about):
        this = {look}
        seen.update(kind=[type(this).__name__, this.pk, isinstance(this, Thing)])

    signals.task_prerun.connect(handle)
    with record_tasks() as tasks:
        result = thing.plain.apply_async(["x"], serializer="{serializer}")
        tasks.run()
    print([seen["kind"], result.get()])
    """
    assert run(SETUP, MODEL, program) == "[['Row', 5, True], ['Thing', ['x']]]"


@pytest.mark.parametrize("others", ["", ", Thing.objects.create(pk=6)"])
@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json"])
def test_what_a_hook_changes_inside_of_arguments_reaches_the_method(
    others: str, serializer: str
) -> None:
    program = f"""
    with record_tasks() as tasks:
        result = thing.mutated.apply_async(
            [{{"list": [1]}}{others}], {{"options": {{"deep": {{}}}}}}, serializer="{serializer}"
        )
        tasks.run()
    print(json.dumps(result.get()))
    """

    assert json.loads(run(SETUP, MODEL, program)) == [
        {"list": [1, "hook"]},
        [6] if others else [],
        {"deep": {"by": "hook"}},
    ]
