"""What ``celery_api.sending`` relies on, asked of the Celery that is installed."""

from __future__ import annotations

import functools
import sys
from typing import Any

import pytest
from celery import Celery, Task, signals

from cereal_methods.celery_api import sending as api
from cereal_methods.serializers.binding import remember
from tests.unit.contracts import untested


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__]) == []


def nothing() -> None: ...


def is_alone(app: Celery, base: type[Task[Any, Any]] = Task) -> bool:
    app.task(base=base, name="own")(nothing)
    return is_alone_for(app.tasks["own"])


def is_alone_for(task: Any, *beside: Any) -> bool:
    apply_async = functools.partial(type(task).apply_async, task)
    return api.is_sent_by_celery_alone(task, apply_async, (remember, *beside))


def test_is_sent_by_celery_alone_of_an_ordinary_task(app: Celery) -> None:
    app.conf.task_routes = {"own": {"queue": "other"}}
    assert is_alone(app)


@pytest.mark.parametrize("name", ["apply_async", "shadow_name"])
def test_is_sent_by_celery_alone_is_false_of_an_own_class(app: Celery, name: str) -> None:
    def own(self: Any, *args: Any, **options: Any) -> Any:
        return getattr(super(base, self), name)(*args, **options)

    base = type("Own", (Task,), {name: own})
    assert not is_alone(app, base)


@pytest.mark.parametrize(
    "signal", [signals.before_task_publish, signals.after_task_publish, signals.task_sent]
)
def test_is_sent_by_celery_alone_is_false_with_receivers(app: Celery, signal: Any) -> None:
    def receiver(**_: Any) -> None: ...

    signal.connect(receiver)
    try:
        assert not is_alone(app)
        assert is_alone_for(app.tasks["own"], receiver)
    finally:
        signal.disconnect(receiver)


def test_is_sent_by_celery_alone_is_false_with_routers(app: Celery) -> None:
    app.conf.task_routes = [lambda name, args, kwargs, options, task=None: None]
    assert not is_alone(app)


def test_is_sent_by_celery_alone_is_false_of_an_own_app(app: Celery) -> None:
    send_task = app.send_task
    app.send_task = lambda *args, **options: send_task(*args, **options)  # type: ignore[method-assign]
    assert not is_alone(app)


def test_is_sent_by_celery_alone_is_false_if_a_method_is_wrapped(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As packages for tracing do."""

    @functools.wraps(Task.apply_async)
    def traced(*args: Any, **options: Any) -> Any: ...

    monkeypatch.setattr(Task, "apply_async", traced)
    assert not is_alone(app)


def test_is_sent_by_celery_alone_is_false_of_pydantic_arguments(app: Celery) -> None:
    pytest.importorskip("pydantic")
    app.task(name="own", pydantic=True)(nothing)
    task = app.tasks["own"]
    # Celery 5.6 was the first to do so.
    dumps_arguments = getattr(task, "_dump_pydantic_arguments", None) is not None
    assert is_alone_for(task) is not dumps_arguments
