"""What ``celery_api.tasks`` relies on, asked of the Celery that is installed."""

from __future__ import annotations

import datetime
import gc
import sys
from typing import Any

import pytest
from celery import Celery, Task, chain, current_app, current_task
from celery.app.amqp import AMQP
from celery.app.task import Context
from celery.exceptions import Ignore, Retry
from kombu import Queue

from cereal_methods.celery_api import tasks as api
from tests.celery import app as project
from tests.unit.contracts import untested


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing, as a task."""


def made(app: Celery, name: str, function: Any = nothing, **options: Any) -> Any:
    """Return a new task of an app, which is finalized then."""
    app.task(name=name, shared=False, **options)(function)
    return app.tasks[name]


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__]) == []


# Apps.


def test_get_current_app_is_the_object_behind_the_proxy() -> None:
    assert api.get_current_app() is project
    assert current_app == api.get_current_app()


def test_get_current_task_is_the_running_task_or_none(app: Celery) -> None:
    seen: list[Any] = []

    def note() -> None:
        seen.append((api.get_current_task(), bool(current_task)))

    task = made(app, "one", note)

    assert api.get_current_task() is None
    task.apply().get()

    assert seen == [(task, True)]
    assert api.get_current_task() is None


def test_active_apps_has_each_app_that_is_alive(app: Celery) -> None:
    assert app in api.active_apps()
    assert project in api.active_apps()

    dropped = Celery("dropped", set_as_current=False)
    assert "dropped" in {app.main for app in api.active_apps()}
    dropped.close()
    del dropped
    gc.collect()
    assert "dropped" not in {app.main for app in api.active_apps()}


def test_is_fallback_is_true_of_the_app_that_celery_makes(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celery import _state

    monkeypatch.setattr(_state, "default_app", None)
    monkeypatch.setattr(_state._tls, "current_app", None)
    fallback = api.get_current_app()
    try:
        assert api.is_fallback(fallback)
        assert not api.is_fallback(app)
    finally:
        fallback.close()


def test_finalized_task_does_not_finalize_the_app(app: Celery) -> None:
    app.task(name="one", shared=False)(nothing)

    assert api.finalized_task(app, "one") is None
    assert not app.finalized

    app.finalize()

    assert api.finalized_task(app, "one") is app.tasks["one"]
    assert api.finalized_task(app, "two") is None


def test_uses_quorum_queues_looks_at_the_type_of_each_queue(app: Celery) -> None:
    assert not api.uses_quorum_queues(app)

    app.conf.task_queues = [Queue("a"), Queue("b", queue_arguments={"x-queue-type": "quorum"})]
    app.amqp.queues = app.amqp.Queues(app.conf.task_queues)

    assert api.uses_quorum_queues(app)


def test_repr_sizes_bound_the_texts_of_a_message(app: Celery) -> None:
    args, kwargs = ["x" * 9] * 999, {"x" * 9: ["x" * 9] * 999}
    assert api.repr_sizes(app) == (AMQP.argsrepr_maxsize, AMQP.kwargsrepr_maxsize) == (1024, 1024)

    app.amqp.argsrepr_maxsize, app.amqp.kwargsrepr_maxsize = 50, 100
    headers = app.amqp.as_task_v2("an-id", "one", args, kwargs).headers

    assert api.repr_sizes(app) == (50, 100)
    assert headers["argsrepr"] == api.saferepr(args, 50)
    assert headers["kwargsrepr"] == api.saferepr(kwargs, 100)


def test_queue_of_is_where_the_routes_lead(app: Celery) -> None:
    app.conf.task_routes = {"routed": {"queue": "elsewhere"}}
    routed = made(app, "routed")
    usual = made(app, "usual")

    assert (api.queue_of(routed), api.queue_of(usual)) == ("elsewhere", "contract")


def test_named_options_are_those_of_sending() -> None:
    assert api.named_options() >= {
        "countdown", "expires", "priority", "retry_policy", "shadow", "task_id", "link",
        "replaced_task_nesting", "time_limit", "mandatory", "delivery_mode", "throw",
    }  # fmt: skip


# Tasks.


def test_header_is_the_function_by_which_celery_checks_arguments(app: Celery) -> None:
    taken: list[Any] = []

    def header(*args: Any, **kwargs: Any) -> None:
        taken.append((args, kwargs))

    task = made(app, "one", **{api.HEADER: staticmethod(header)})
    task.apply_async([1], {"b": 2})

    assert taken == [((1,), {"b": 2})]


def test_without_autoretry_leaves_the_run_alone(app: Celery) -> None:
    def fail() -> None:
        raise ValueError

    wrapped = made(app, "one", fail, autoretry_for=[ValueError])
    plain = made(app, "two", fail, autoretry_for=[ValueError], **api.WITHOUT_AUTORETRY)

    assert wrapped.run is not fail
    assert plain.run is fail


def test_check_arguments_refuses_what_apply_async_refuses(app: Celery) -> None:
    def function(a: Any, *, b: Any = None) -> None: ...

    task = made(app, "one", function)

    api.check_arguments(task, [1], {"b": 2})
    for args, kwargs in ([[], {}], [[1, 2], {}], [[1], {"c": 3}]):
        with pytest.raises(TypeError) as ours:
            api.check_arguments(task, args, kwargs)
        with pytest.raises(TypeError) as celerys:
            task.apply_async(args, kwargs)
        assert str(ours.value) == str(celerys.value)


def test_check_arguments_of_a_bound_task_leaves_the_task_out(app: Celery) -> None:
    def function(self: Any, a: Any) -> None: ...

    api.check_arguments(made(app, "one", function, bind=True), [1], {})


def test_parameters_of_names_a_tasks_arguments(app: Celery) -> None:
    def function(a: Any, *, b: Any = None) -> None: ...

    assert list(api.parameters_of(made(app, "one", function))) == ["a", "b"]


def test_has_own_method_is_about_the_project_s_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Base(Task):  # type: ignore[type-arg]
        def on_success(self, *args: Any) -> None: ...

    class Derived(Base):
        pass

    assert api.has_own_method(Derived, "on_success")
    assert not api.has_own_method(Derived, "after_return")
    assert not api.has_own_method(Derived, "__call__")


def test_with_autoretry_retries_the_function_alone(app: Celery) -> None:
    runs: list[str] = []

    @app.task(
        name="one",
        shared=False,
        bind=True,
        autoretry_for=[ValueError],
        dont_autoretry_for=[UnicodeError],
        retry_backoff=4,
        retry_jitter=False,
        **api.WITHOUT_AUTORETRY,
    )
    def outer(task: Any, error: str) -> Any:
        runs.append("outer")
        return api.with_autoretry(task, function)(error)

    def function(error: str) -> None:
        runs.append("function")
        raise {"value": ValueError("wrong"), "unicode": UnicodeError("wrong")}[error]

    task = app.tasks["one"]
    task.push_request(called_directly=False, id="an-id", args=["value"], kwargs={}, retries=1)
    try:
        with pytest.raises(Retry) as caught:
            task.run("value")
        with pytest.raises(UnicodeError):
            task.run("unicode")
    finally:
        task.pop_request()

    assert runs == ["outer", "function"] * 2
    assert caught.value.when == 8


def test_with_autoretry_returns_the_function_of_a_task_without_it(app: Celery) -> None:
    assert api.with_autoretry(made(app, "one", **api.WITHOUT_AUTORETRY), len) is len


def test_class_named_is_a_class_or_its_path() -> None:
    from celery.worker.request import Request

    assert api.class_named(Request) is Request
    assert api.class_named(Task.Request) is Request


# Texts and times.


def test_saferepr_bounds_the_text_and_knows_cycles() -> None:
    cycle: list[Any] = [1]
    cycle.append(cycle)

    assert api.saferepr(cycle).startswith("[1, ")
    assert api.saferepr(["x" * 50] * 50, 80) == f"['{'x' * 50}', '...', ...]" or (
        len(api.saferepr(["x" * 50] * 50, 80)) < 160
    )
    assert api.saferepr((5, "dhl")) == "(5, 'dhl')"


def test_maybe_iso8601_reads_what_celery_writes(app: Celery) -> None:
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    headers = app.amqp.as_task_v2("an-id", "one", eta=at).headers

    assert api.maybe_iso8601(headers["eta"]) == at
    assert api.maybe_iso8601(None) is None
    with pytest.raises(ValueError, match="soon"):
        api.maybe_iso8601("soon")


def test_maybe_make_aware_leaves_aware_times_alone() -> None:
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)

    assert api.maybe_make_aware(at, datetime.UTC) is at
    assert api.maybe_make_aware(at.replace(tzinfo=None), datetime.UTC) == at


def test_rate_is_of_a_second() -> None:
    assert [api.rate(each) for each in ("10/s", "60/m", "7200/h", 5)] == [10.0, 1.0, 2.0, 5.0]
    with pytest.raises((KeyError, ValueError)):
        api.rate("10/day")


# Requests.


def test_requests_of_are_the_running_ones_the_innermost_last(app: Celery) -> None:
    seen: list[Any] = []

    @app.task(name="one", shared=False, bind=True)
    def one(task: Any, depth: int) -> None:
        if depth:
            task(depth - 1)
        else:
            seen.extend(api.requests_of(task))
            assert api.request_on_top(task) is api.requests_of(task)[-1] is task.request

    assert api.requests_of(app.tasks["one"]) == []
    result = one.apply([1])
    result.get()

    # The call inside of the task has a copy, with the same id.
    assert [task.id for task in seen] == [result.id] * 2
    assert seen[0] is not seen[1]
    assert api.requests_of(app.tasks["one"]) == []


def test_request_on_top_is_none_outside_a_task(app: Celery) -> None:
    assert api.request_on_top(made(app, "one")) is None


def test_push_request_makes_it_the_task_s_request(app: Celery) -> None:
    task, request = made(app, "one"), Context({"id": "an-id"})

    api.push_request(task, request)
    try:
        assert task.request is request
    finally:
        api.pop_request(task)


def test_pop_request_takes_it_back(app: Celery) -> None:
    task, below = made(app, "one"), Context({"id": "below"})
    api.push_request(task, below)
    api.push_request(task, Context({"id": "above"}))

    api.pop_request(task)

    assert task.request is below
    api.pop_request(task)
    assert api.requests_of(task) == []


def test_derived_request_has_values_and_no_children(app: Celery) -> None:
    parent = Context({"id": "parent", "args": [1], "retries": 2, "chain": ["a"]})
    parent.children.append("a result")

    derived = api.derived_request(parent, {"retries"}, id="child", chain=None)

    assert (derived.id, derived.args, derived.chain, derived.children) == ("child", [1], None, [])
    assert derived.retries == Context().retries == 0
    assert parent.children == ["a result"]


def test_is_in_chord_unlock_while_celery_s_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not api.is_in_chord_unlock()
    unlock = project.tasks["celery.chord_unlock"]
    monkeypatch.setattr(api, "get_current_task", lambda: unlock)

    assert api.is_in_chord_unlock()


def test_is_tracer_is_true_where_a_function_is_called(app: Celery) -> None:
    seen: list[bool] = []

    @app.task(name="one", shared=False)
    def one(*args: Any) -> None:
        seen.append(api.is_tracer(sys._getframe(1)))

    one.apply().get()
    one()

    assert seen == [True, False]


def test_collect_sending_collects_the_replacement_of_a_task(app: Celery) -> None:
    sent: list[Any] = []
    waiting: list[Any] = []
    task = made(app, "one")
    replacement = task.s(1)
    replacement.apply_async = lambda *args, **kwargs: sent.append(args)
    api.collect_sending(replacement, waiting)

    task.push_request(called_directly=False, id="an-id", is_eager=False)
    try:
        with pytest.raises(Ignore):
            task.replace(replacement)
    finally:
        task.pop_request()

    assert (len(waiting), sent) == (1, [])
    waiting[0]()
    assert len(sent) == 1


def test_collect_sending_collects_a_chain_that_replaces_a_task(app: Celery) -> None:
    waiting: list[Any] = []
    task = made(app, "one")
    replacement = chain(task.s(1), task.s(2))
    api.collect_sending(replacement, waiting)

    task.push_request(called_directly=False, id="an-id", is_eager=False)
    try:
        with pytest.raises(Ignore):
            task.on_replace(replacement)
    finally:
        task.pop_request()

    assert len(waiting) == 1
