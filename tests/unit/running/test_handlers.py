"""What handlers see of a task's arguments: from any serializer, and in eager mode."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Task, current_app, signals

from cereal_methods import model_task
from cereal_methods.testing import record_tasks
from tests.shop.models import Customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("new_models")]

#: By handler: the type of the row, and args and kwargs as JSON.
seen: dict[str, tuple[str, Any, Any]] = {}

#: The handlers of ``Counting`` that were called.
calls: list[str] = []


def look(moment: str, args: Any, kwargs: Any) -> None:
    written = json.loads(json.dumps(args)), json.loads(json.dumps(kwargs))
    seen[moment] = (type(kwargs["this"]).__name__, *written)


class Looking(Task):  # type: ignore[type-arg]
    """A task class whose handlers read the arguments, and change them."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Change the arguments."""
        look("before_start", args, kwargs)
        kwargs.pop("user", None)
        kwargs["added"] = len(args)
        args.append("more")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Look at the arguments."""
        look("on_success", args, kwargs)

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Look at the arguments."""
        look("after_return", args, kwargs)


class Mutating(Task):  # type: ignore[type-arg]
    """A task class whose handler changes what is inside of arguments."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Change the arguments."""
        args[0]["list"].append("handler")
        kwargs["options"]["deep"]["by"] = "handler"


class Counting(Task):  # type: ignore[type-arg]
    """A task class whose handlers record that they are called."""

    def before_start(self, *args: Any) -> None:
        """Record the call."""
        calls.append("before_start")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Record the call, and run the task."""
        calls.append("__call__")
        return super().__call__(*args, **kwargs)

    def on_success(self, *args: Any) -> None:
        """Record the call."""
        calls.append("on_success")

    def after_return(self, *args: Any) -> None:
        """Record the call."""
        calls.append("after_return")


class Calling(Task):  # type: ignore[type-arg]
    """A task class with a ``__call__``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task."""
        return super().__call__(*args, **kwargs)

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Look at the arguments."""
        look("on_success", args, kwargs)


@pytest.fixture
def thing() -> Any:
    """A row with methods of each task class."""
    seen.clear()

    class Thing(Customer):
        class Meta:
            app_label = "shop"
            proxy = True

        @model_task(base=Looking)
        def watched(self, *args: Any, **named: Any) -> list[Any]:
            return [type(self).__name__, list(args), named]

        @model_task(base=Calling, bind=True)
        def called(self, task: Any, *args: Any) -> list[Any]:
            look("request", task.request.args, task.request.kwargs)
            return [type(self).__name__, list(args)]

        @model_task(base=Counting)
        def counted(self, number: int) -> int:
            return number

        @model_task(base=Calling)
        def doubled(self, number: int) -> int:
            return 2 * number

        @model_task(base=Mutating)
        def mutated(self, first: Any, *others: Any, options: Any) -> list[Any]:
            return [first, [other.pk for other in others], options]

        @model_task
        def plain(self, *args: Any) -> list[Any]:
            return [type(self).__name__, list(args)]

        @model_task(bind=True)
        def calls_itself(self, task: Any, times: int) -> str:
            return task(times - 1, this=self) if times else "done"

    return Thing.objects.create(pk=5, name="Ann")


@pytest.fixture
def connect() -> Iterator[Callable[[Any, Any], None]]:
    """Connect receivers to signals until the test ends."""
    connected = []

    def to(signal: Any, receiver: Any) -> None:
        signal.connect(receiver, weak=False)
        connected.append((signal, receiver))

    yield to
    for signal, receiver in connected:
        signal.disconnect(receiver)


def test_the_method_is_called_with_what_a_handler_changes(thing: Any, serializer: str) -> None:
    with record_tasks() as tasks:
        result = thing.watched.apply_async(["x"], {"user": 1}, serializer=serializer)
        tasks.run()

        assert result.get() == ["Thing", ["x", "more"], {"added": 1}]


@pytest.fixture(params=["json", "cereal-json"])
def serializer(request: pytest.FixtureRequest) -> str:
    """Celery's serializer, and ours."""
    name: str = request.param
    return name


def test_handlers_see_rows_that_json_encoders_can_write(thing: Any, serializer: str) -> None:
    with record_tasks() as tasks:
        thing.watched.apply_async(["x"], {"user": 1}, serializer=serializer)
        tasks.run()

    row = {"cereal_methods.reference": ["shop.Thing", 5, "default"]}
    assert seen == {
        "before_start": ("LazyRow", ["x"], {"this": row, "user": 1}),
        "on_success": ("Thing", ["x", "more"], {"this": row, "added": 1}),
        "after_return": ("Thing", ["x", "more"], {"this": row, "added": 1}),
    }


def test_receivers_of_signals_get_what_celery_decoded(
    thing: Any, serializer: str, connect: Any
) -> None:
    kinds = []
    connect(signals.task_postrun, lambda kwargs, **_: kinds.append(type(kwargs["this"]).__name__))
    with record_tasks() as tasks:
        thing.watched.apply_async(["x"], serializer=serializer)
        tasks.run()

    assert kinds == ["dict" if serializer == "json" else "Thing"]


def test_the_requests_of_an_eager_task_with_its_own_call_have_the_row(thing: Any) -> None:
    assert thing.called.apply(["x"]).get() == ["Thing", ["x"]]
    assert {moment: kind for moment, (kind, *_) in seen.items()} == {
        "request": "Thing",
        "on_success": "Thing",
    }


def test_a_key_in_one_of_our_serializers_is_a_row_for_handlers(thing: Any) -> None:
    with record_tasks() as tasks:
        current_app.send_task(thing.watched.name, [], {"this": 5}, serializer="cereal-json")
        tasks.run()

    assert {moment: kind for moment, (kind, *_) in seen.items()} == {
        "before_start": "LazyRow",
        "on_success": "Thing",
        "after_return": "Thing",
    }


def test_a_method_may_call_its_task_as_a_function(thing: Any) -> None:
    assert thing.calls_itself.apply([2]).get() == "done"
    with record_tasks() as tasks:
        result = thing.calls_itself.delay(2)
        tasks.run()
        assert result.get() == "done"


LOOKS: dict[str, Callable[[Any, Any], Any]] = {
    "unpacking": lambda args, kwargs: {**kwargs}["this"],
    "keys": lambda args, kwargs: next(kwargs[name] for name in kwargs.keys()),  # noqa: SIM118
    "dict": lambda args, kwargs: dict(kwargs)["this"],
    "iterating": lambda args, kwargs: next(kwargs[name] for name in kwargs),
    "copying": lambda args, kwargs: kwargs.copy()["this"],
    "items": lambda args, kwargs: next(iter(kwargs.items()))[1],
    "values": lambda args, kwargs: next(iter(kwargs.values())),
    "get": lambda args, kwargs: kwargs.get("this"),
    "calling": lambda args, kwargs: (lambda **named: named)(**kwargs)["this"],
    "copy": lambda args, kwargs: copy.copy(kwargs)["this"],
    "deepcopy": lambda args, kwargs: copy.deepcopy(kwargs)["this"],
    "or": lambda args, kwargs: (kwargs | {})["this"],
    "ror": lambda args, kwargs: ({} | kwargs)["this"],
    "setdefault": lambda args, kwargs: kwargs.setdefault("this", None),
    "args": lambda args, kwargs: ([*args], kwargs["this"])[1],
    "json": lambda args, kwargs: (json.dumps(kwargs), kwargs["this"])[1],
}


@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json"], indirect=True)
@pytest.mark.parametrize("name", LOOKS)
def test_a_receiver_gets_a_row_whatever_it_does_first(
    name: str, serializer: str, thing: Any, connect: Any
) -> None:
    kinds = []

    def receive(args: Any, kwargs: Any, **about: Any) -> None:
        this = LOOKS[name](args, kwargs)
        kinds.append((type(this).__name__, this.pk, isinstance(this, Customer)))

    connect(signals.task_prerun, receive)
    with record_tasks() as tasks:
        result = thing.plain.apply_async(["x"], serializer=serializer)
        tasks.run()
        assert result.get() == ["Thing", ["x"]]

    assert kinds == [("LazyRow", 5, True)]


@pytest.mark.parametrize("serializer", ["cereal-pickle", "cereal-json"], indirect=True)
@pytest.mark.parametrize("has_others", [False, True])
def test_changes_that_a_handler_makes_inside_arguments_reach_the_method(
    has_others: bool, serializer: str, thing: Any
) -> None:
    others = [Customer.objects.create(pk=6, name="Bob")] if has_others else []
    with record_tasks() as tasks:
        result = thing.mutated.apply_async(
            [{"list": [1]}, *others], {"options": {"deep": {}}}, serializer=serializer
        )
        tasks.run()
        returned = result.get()

    assert returned == [
        {"list": [1, "handler"]},
        [other.pk for other in others],
        {"deep": {"by": "handler"}},
    ]


def test_a_task_with_its_own_call_may_be_called_as_a_function(thing: Any) -> None:
    assert thing.doubled.task(4, this=thing) == 8


def test_handlers_are_called_for_each_row_of_a_batch_and_not_for_the_batch(
    thing: Any, serializer: str
) -> None:
    rows = [thing, type(thing).objects.create(name="Bob")]
    calls.clear()

    with record_tasks() as tasks:
        type(thing).counted.bulk_apply_async(rows, [3], batch_size=2, serializer=serializer)
        tasks.run()

    assert calls == ["before_start", "__call__", "on_success", "after_return"] * 2
