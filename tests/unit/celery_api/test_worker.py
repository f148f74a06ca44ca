"""What ``celery_api.worker`` relies on, asked of the Celery that is installed."""

from __future__ import annotations

import json
import logging
import pickle
import sys
from typing import Any
from unittest import mock

import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery, Task, signals
from celery.app.task import Context
from celery.exceptions import Ignore, Reject, Retry, TaskRevokedError
from celery.fixups.django import DjangoWorkerFixup
from celery.states import FAILURE, IGNORED, REJECTED, RETRY
from celery.worker import state
from celery.worker.request import Request
from kombu import Message

from cereal_methods.celery_api import worker as api
from tests.unit.contracts import untested

from . import test_consumer
from .test_tasks import made


class Hooked(Task):  # type: ignore[type-arg]
    """Notes which of its hooks are called."""

    called: list[str]

    def on_failure(self, *args: Any) -> None:
        self.called.append("on_failure")

    def on_retry(self, *args: Any) -> None:
        self.called.append("on_retry")


@pytest.fixture
def task(app: Celery) -> Any:
    return made(app, "one", base=Hooked, called=[])


def received(app: Celery, kind: Any = Request, **headers: Any) -> Any:
    """Return a worker's request for a message of the task ``one``."""
    message = app.amqp.as_task_v2("an-id", "one", [1], {"b": 2}, **headers)
    carried = Message(
        body=json.dumps(message.body),
        content_type="application/json",
        content_encoding="utf-8",
        headers=message.headers,
        properties=message.properties,
    )
    return kind(carried, app=app, task=app.tasks["one"], on_ack=mock.Mock())


def test_every_function_has_a_test() -> None:
    assert untested(api, sys.modules[__name__], test_consumer) == []


# How a run ends.


def test_run_logger_is_the_one_of_celery_s_lines(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "celery"):
        made(app, "one").apply()

    assert api.run_logger.name in {record.name for record in caplog.records}


@pytest.mark.parametrize("error", [Ignore(), Reject(), Retry(exc=ValueError()), ValueError()])
def test_without_after_return_are_the_states_in_which_celery_leaves_it_out(
    app: Celery, error: Exception
) -> None:
    called: list[Any] = []

    def fail() -> None:
        raise error

    task = made(app, "one", fail, after_return=lambda self, *args: called.append(args[0]))
    state = task.apply(throw=False).state

    assert bool(called) == (state not in api.WITHOUT_AFTER_RETURN)


def test_stores_rejected_from_5_7_on(app: Celery, task: Any) -> None:
    request = received(app)
    backend = mock.Mock()
    with mock.patch.object(type(task), "backend", backend):
        try:
            raise Reject("no")
        except Reject:
            request.on_failure(ExceptionInfo())

    assert bool(backend.mark_as_failure.called) == api.STORES_REJECTED


def test_calls_on_failure_at_limit_from_5_7_on(app: Celery, task: Any) -> None:
    received(app).on_timeout(soft=False, timeout=1)

    assert (task.called == ["on_failure"]) == api.CALLS_ON_FAILURE_AT_LIMIT


@pytest.mark.parametrize(
    ("ended_in", "error", "signal", "hooks", "level"),
    [
        (FAILURE, ValueError("wrong"), signals.task_failure, ["on_failure"], "ERROR"),
        (RETRY, Retry("later"), signals.task_retry, ["on_retry"], "INFO"),
        (IGNORED, Ignore("never"), None, [], "INFO"),
        (REJECTED, Reject("no"), None, [], "WARNING"),
    ],
)
def test_report_end_calls_hooks_and_signals_and_stores_nothing(
    app: Celery,
    task: Any,
    caplog: pytest.LogCaptureFixture,
    ended_in: str,
    error: Exception,
    signal: Any,
    hooks: list[str],
    level: str,
) -> None:
    request = Context({"id": "an-id", "args": [1], "kwargs": {}, "errbacks": [task.s()]})
    told: list[Any] = []
    if signal is not None:
        signal.connect(lambda **about: told.append(about["sender"]), weak=False, dispatch_uid="it")
    try:
        raise error
    except type(error):
        with caplog.at_level(logging.INFO, "celery"):
            api.report_end(task, request, ended_in, error)
    finally:
        if signal is not None:
            signal.disconnect(dispatch_uid="it")

    assert (task.called, told) == (hooks, [task] if signal is not None else [])
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("celery.app.trace", level)
    ]
    assert app.AsyncResult("an-id").state == "PENDING"


def test_receivers_of_are_the_receivers_that_send_calls(task: Any) -> None:
    def for_all(**about: Any) -> None: ...
    def for_one(**about: Any) -> None: ...
    def for_another(**about: Any) -> None: ...

    connected: list[tuple[Any, Any]] = [(for_all, None), (for_one, task), (for_another, object())]
    for receiver, sender in connected:
        signals.task_success.connect(receiver, sender=sender, weak=False)
    try:
        receivers = api.receivers_of(signals.task_success, task)
        sent_to = [receiver for receiver, _ in signals.task_success.send(sender=task)]
    finally:
        for receiver, sender in connected:
            signals.task_success.disconnect(receiver, sender=sender)

    assert receivers == sent_to
    assert [receiver for receiver in receivers if receiver in (for_all, for_one, for_another)] == [
        for_all,
        for_one,
    ]


def test_has_receivers_when_something_is_connected(task: Any) -> None:
    def receiver(**about: Any) -> None: ...

    signal = type(signals.task_success)(name="contract", providing_args=set())
    assert not api.has_receivers(signal)
    assert api.receivers_of(signal, task) == []

    signal.connect(receiver, weak=False)
    assert api.has_receivers(signal)


def test_closes_connections_is_true_for_celery_s_fixup(app: Celery) -> None:
    fixup = DjangoWorkerFixup(app)
    with (
        mock.patch.object(fixup, "close_database"),
        mock.patch.object(fixup, "close_cache"),
    ):
        fixup.install()
    try:
        for signal in (signals.task_prerun, signals.task_postrun):
            receivers = api.receivers_of(signal, None)
            assert [receiver for receiver in receivers if api.closes_connections(receiver)] != []
        assert not api.closes_connections(lambda: None)
    finally:
        for signal in (signals.beat_embedded_init, signals.task_prerun, signals.task_postrun):
            for each in api.receivers_of(signal, None):
                if api.closes_connections(each):
                    signal.disconnect(each)
        signals.worker_process_init.disconnect(fixup.on_worker_process_init)


def test_exception_in_is_the_error_also_after_a_pool_s_pipe() -> None:
    error = ValueError("wrong")
    info = api.exception_info(error)
    piped = pickle.loads(pickle.dumps(info))

    assert api.exception_in(info) is error
    assert repr(api.exception_in(piped)) == repr(error)
    assert isinstance(api.exception_in(piped), ValueError)


def test_exception_info_has_error_and_traceback() -> None:
    info = api.exception_info(TaskRevokedError("revoked"))

    assert isinstance(info, ExceptionInfo)
    assert info.type is TaskRevokedError
    assert "TaskRevokedError: revoked" in info.traceback


# A worker's requests.


class Watched(api.RequestHooks, Request):  # type: ignore[misc]
    """A request that notes what is announced."""

    def before_revoke(self, reason: str, *, is_terminated: bool, is_expired: bool) -> None:
        stored = self.app.AsyncResult(self.id).state
        self.noted = (reason, is_terminated, is_expired, stored)


def test_requesthooks_are_called_before_a_revocation_is_stored(app: Celery, task: Any) -> None:
    state.revoked.add("an-id")
    request = received(app, Watched)

    assert request.revoked()

    assert request.noted == ("revoked", False, False, "PENDING")
    assert app.AsyncResult("an-id").state == "REVOKED"


def test_requesthooks_are_called_for_an_expired_task(app: Celery, task: Any) -> None:
    request = received(app, Watched, expires=-10)

    assert request.revoked()

    assert request.noted == ("expired", False, True, "PENDING")


def test_requesthooks_are_called_for_a_terminated_task(app: Celery, task: Any) -> None:
    request = received(app, Watched)
    request.on_accepted(pid=1, time_accepted=0)
    request.terminate(mock.Mock(), signal="KILL")

    assert request.noted == ("terminated", True, False, "PENDING")


def test_requesthooks_may_use_what_a_request_has(app: Celery, task: Any) -> None:
    request = received(app, Watched)

    assert (request.id, request.task, request.app) == ("an-id", task, app)
    assert request.request_dict["args"] == [1]
    assert request.request_dict["kwargs"] == {"b": 2}
    assert request.request_dict["task"] == "one"
    assert request.message.headers["id"] == "an-id"
    assert (request.ignore_result, request.worker_pid, request.acknowledged) == (False, None, False)
    request.acknowledge()
    assert request.acknowledged


def test_context_of_is_the_task_s_request(app: Celery, task: Any) -> None:
    context = api.context_of(received(app))

    assert isinstance(context, Context)
    assert (context.id, context.args, context.kwargs) == ("an-id", [1], {"b": 2})


def test_was_revoked_once_it_is_announced(app: Celery, task: Any) -> None:
    request = received(app)
    assert not api.was_revoked(request)
    with api.revoking(["an-id"], {}):
        request.revoked()

    assert api.was_revoked(request)


def test_was_cancelled_when_the_connection_is_lost(app: Celery, task: Any) -> None:
    request = received(app)
    request.on_accepted(pid=1, time_accepted=0)
    assert not api.was_cancelled(request)

    request.cancel(mock.Mock())

    assert api.was_cancelled(request)
    assert not api.was_revoked(request)


def test_end_request_removes_it_from_the_worker(app: Celery, task: Any) -> None:
    request = received(app)
    state.task_reserved(request)
    state.task_accepted(request)
    assert request in state.active_requests

    api.end_request(request)

    assert request.acknowledged
    assert request not in state.active_requests
    assert request not in state.reserved_requests


def test_is_terminating_in_a_cold_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not api.is_terminating()
    monkeypatch.setattr(state, "should_terminate", 1)

    assert api.is_terminating()


def test_revoking_holds_for_the_block(app: Celery, task: Any) -> None:
    by_id, by_stamp = received(app), received(app)
    by_stamp.id, by_stamp.request_dict["stamped_headers"] = "other", ["bulk"]
    by_stamp.request_dict["stamps"] = {"bulk": ["b1"]}
    by_stamp.message.headers.update(stamps={"bulk": ["b1"]}, stamped_headers=["bulk"])
    untouched = received(app)

    with api.revoking(["an-id"], {"bulk": ["b1"]}):
        assert by_id.revoked()
        assert by_stamp.revoked()
    assert not untouched.revoked()
    assert "an-id" not in state.revoked
    assert "bulk" not in state.revoked_stamps


def test_fresh_tracer_runs_the_current_function(app: Celery) -> None:
    task = made(app, "one")
    request = received(app)
    request.execute()
    ran: list[Any] = []
    with mock.patch.object(task, "run", lambda *args, **kwargs: ran.append(args)):
        with api.fresh_tracer(task):
            received(app).execute()
        assert ran == [(1,)]
        received(app).execute()
    assert ran == [(1,)]
