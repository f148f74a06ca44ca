"""One row of a batch has the request, hooks and signals of a separate task."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from celery import Task, signals
from celery.app.task import Context
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connections

from cereal_methods.results.codec import Codec
from cereal_methods.results.endings import FAILED, IGNORED_ROW
from cereal_methods.rows.fetch import fetch
from cereal_methods.rows.lazy import LazyRow
from cereal_methods.rows.reference import ModelReference
from cereal_methods.running.batches.attempt import RowRunner
from cereal_methods.running.batches.ending import RESULT, RETRIED, RowEnding
from cereal_methods.running.batches.row_request import row_request
from cereal_methods.running.state import STATE, RunState
from tests.celery import app

from .odd import odd_orders, rows_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("new_models")]

Run = Callable[..., RowEnding]


class Hooks(Task):
    """A task that records the calls of its hooks; ``raises`` is what each of them raises."""

    abstract = True
    calls: list[tuple[Any, ...]]
    raises: BaseException | None = None

    def _record(self, *call: Any) -> None:
        self.calls.append(call)
        if self.raises is not None:
            raise self.raises

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        self.calls.append(("before_start", task_id))

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self._record("on_success", retval)

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self._record("on_failure", str(exc), kwargs["this"].number)

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        self._record("after_return", status)


@pytest.fixture
def run() -> Run:
    """Return a function that runs the method for a new order with a number."""

    def run(number: str, model: Any = None, encode: Any = None) -> RowEnding:
        model = model or odd_orders()
        task = model.act.task
        (row,) = rows_of(model, number)
        reference = ModelReference.of(row)
        message = Context({"id": "batch", "called_directly": False, "headers": {}})
        task.push_request(**vars(message))
        try:
            runner = RowRunner(task, encode or Codec(app.backend).encode)
            request = row_request(
                runner.message,
                "row",
                [],
                {"this": LazyRow(reference, fetch)},
                **{STATE: RunState(window_rows={})},
            )
            try:
                return runner.run(request, reference)
            finally:
                assert task.request_stack.top is runner.message
        finally:
            task.pop_request()

    return run


@pytest.fixture
def hooked() -> Any:
    """Return a model whose task records its hooks."""
    Hooks.calls, Hooks.raises = [], None
    return odd_orders(base=Hooks)


@pytest.fixture
def seen() -> Iterator[list[tuple[str, Any]]]:
    """Return which signals were sent, and with which state or error."""
    calls: list[tuple[str, Any]] = []
    names = {"task_prerun": "task_id", "task_postrun": "state", "task_success": "result"}
    names |= {"task_failure": "exception", "task_retry": "reason", "task_rejected": "message"}
    receivers = {}
    for name, argument in names.items():

        def receive(name: str = name, argument: str = argument, **about: Any) -> None:
            calls.append((name.removeprefix("task_"), about.get(argument)))

        receivers[name] = receive
        getattr(signals, name).connect(receive, weak=False)
    yield calls
    for name, receiver in receivers.items():
        getattr(signals, name).disconnect(receiver)


def test_a_request_equals_that_of_a_message_for_one_row() -> None:
    message = Context(
        {
            "id": "batch",
            "headers": {"cereal_rows": [0, 1], "cereal_crashes": 1, "kept": 1},
            "cereal_rows": [0, 1],
            "callbacks": ["a callback"],
            "timelimit": [5, None],
        }
    )

    request = row_request(message, "row", [1], {"a": 2}, argsrepr="x")

    assert (request.id, request.parent_id, request.correlation_id) == ("row", "batch", "row")
    assert (request.args, request.kwargs, request.argsrepr) == ([1], {"a": 2}, "x")
    assert request.headers == {"kept": 1}
    assert request.callbacks is None
    assert request.timelimit == [5, None]
    assert "cereal_rows" not in vars(request)


def test_a_value_is_returned_and_encoded(run: Run, seen: list[Any]) -> None:
    ending = run("a", encode=lambda value: {"text": value})

    assert ending == RowEnding(RESULT, "a", {"text": "a"})
    assert seen == [("prerun", "row"), ("success", "a"), ("postrun", "SUCCESS")]


def test_hooks_are_called(run: Run, hooked: Any) -> None:
    run("a", hooked)

    assert Hooks.calls == [
        ("before_start", "row"),
        ("on_success", "a"),
        ("after_return", "SUCCESS"),
    ]


def test_hooks_of_a_failure_are_called(run: Run, hooked: Any, seen: list[Any]) -> None:
    ending = run("fails", hooked)

    assert (ending.kind, ending.text) == (FAILED, "ValueError: it fails")
    assert ending.exception["exc_type"] == "ValueError"
    assert Hooks.calls == [
        ("before_start", "row"),
        ("on_failure", "it fails", "fails"),
        ("after_return", "FAILURE"),
    ]
    assert [name for name, _ in seen] == ["prerun", "failure", "postrun"]


@pytest.mark.parametrize("number", ["a", "fails"])
def test_an_error_of_a_hook_is_logged(
    run: Run, hooked: Any, number: str, caplog: pytest.LogCaptureFixture
) -> None:
    Hooks.raises = RuntimeError("of the hook")

    ending = run(number, hooked)

    assert ending.kind == (RESULT if number == "a" else FAILED)
    assert "handler raised" in caplog.text


@pytest.mark.parametrize("number", ["a", "fails"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_hook_may_end_the_process(
    run: Run, hooked: Any, number: str, error: type[BaseException]
) -> None:
    Hooks.raises = error()

    with pytest.raises(error):
        run(number, hooked)


@pytest.mark.parametrize(
    ("number", "error"), [("exits", SystemExit), ("interrupted", KeyboardInterrupt)]
)
def test_a_method_may_end_the_process(
    run: Run, number: str, error: type[BaseException], seen: list[Any]
) -> None:
    with pytest.raises(error):
        run(number)

    assert seen == [("prerun", "row"), ("postrun", "")]


def test_an_ignored_row_has_no_exception(run: Run, hooked: Any, seen: list[Any]) -> None:
    assert run("ignored", hooked) == RowEnding(IGNORED_ROW, text="Ignore: not today")
    assert Hooks.calls == [("before_start", "row")]
    assert seen == [("prerun", "row"), ("postrun", "IGNORED")]


def test_a_rejected_row_has_failed(run: Run, seen: list[Any]) -> None:
    ending = run("rejected")

    assert ending.kind == FAILED
    assert ending.text.startswith("Reject: ")
    assert [name for name, _ in seen][-1] == "postrun"


def test_a_requeued_row_is_sent_again(run: Run, sent: Any) -> None:
    assert run("requeued") == RowEnding(RETRIED)

    (message,) = sent()
    assert message.headers["id"] == "row"


def test_a_requeued_row_that_cannot_be_sent_has_failed(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    model = odd_orders()
    error = ConnectionError("unavailable")
    with mock.patch.object(model.act.task, "signature_from_request", side_effect=error):
        ending = run("requeued", model)

    assert ending.kind == FAILED
    assert "could not be sent again." in caplog.text


def test_a_retried_row_is_sent_again(run: Run, sent: Any, seen: list[Any]) -> None:
    assert run("retries") == RowEnding(RETRIED)

    (message,) = sent()
    assert (message.headers["id"], message.headers["retries"]) == ("row", 1)
    assert [name for name, _ in seen] == ["prerun", "retry", "postrun"]


def test_a_value_that_the_backend_refuses_is_a_failure(run: Run) -> None:
    ending = run("locks")

    assert ending.kind == FAILED
    assert ending.text.startswith("EncodingFailed: ")


def test_an_exception_that_the_backend_refuses_is_replaced_by_its_text(run: Run) -> None:
    def encode(value: Any) -> Any:
        if isinstance(value, dict) and value["exc_message"] != ["it fails"]:
            raise ValueError(value)
        return value

    ending = run("fails", encode=encode)

    assert ending.exception["exc_message"] == ["it fails"]


def test_the_end_of_a_coroutine_is_a_failure(run: Run) -> None:
    ending = run("cancelled")

    assert ending.kind == FAILED
    assert ending.text.startswith("FunctionAborted: ")


def test_the_end_of_a_coroutine_outside_of_the_method_is_a_failure(run: Run, hooked: Any) -> None:
    ending = run("a", hooked, encode=mock.Mock(side_effect=[asyncio.CancelledError, None]))

    assert ending.kind == FAILED
    assert ending.text == (
        f"FunctionAborted: {hooked.act.task.name} raised CancelledError, which ends a coroutine or "
        "a generator and not a task. Catch it in the function."
    )


def test_a_time_limit_ends_the_batch(run: Run) -> None:
    ending = run("limited")

    assert (ending.kind, ending.is_limit) == (FAILED, True)
    assert ending.text.startswith(SoftTimeLimitExceeded.__name__)


@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
def test_the_time_limits_of_other_pools_end_the_batch(
    run: Run, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Timeout(BaseException):
        pass

    module = ModuleType(pool)
    module.Timeout = Timeout  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, pool, module)

    ending = run("a", encode=mock.Mock(side_effect=[Timeout, None]))

    assert (ending.kind, ending.is_limit) == (FAILED, True)


def test_receivers_are_called_and_their_errors_logged(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def receive(**about: Any) -> None:
        raise RuntimeError("of the receiver")

    signals.task_prerun.connect(receive, weak=False)
    try:
        assert run("a").kind == RESULT
    finally:
        signals.task_prerun.disconnect(receive)

    assert "raised: RuntimeError('of the receiver')" in caplog.text


def test_connections_stay_open(run: Run) -> None:
    with mock.patch.object(type(connections["default"]), "close") as close:
        run("a")

    close.assert_not_called()


def test_without_receivers_no_signal_is_sent(run: Run) -> None:
    with (
        mock.patch.object(signals.task_prerun, "receivers", []),
        mock.patch.object(signals.task_postrun, "receivers", []),
        mock.patch.object(signals.task_success, "receivers", []),
    ):
        assert run("a").value == "a"
