"""Options of ``@model_task`` and ``@task`` with valid and invalid values."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from celery import Task
from kombu import Exchange, Queue

from cereal_methods import model_task
from cereal_methods.sending.validation import check_function_options

from .definitions import refused


def go(self: Any, *args: Any) -> None: ...


def nothing() -> None: ...


def two(error: Any, task: Any) -> None: ...


def note(error: Any, task: Any = None) -> None: ...


SECONDS = "a number of seconds, or None"
EXCEPTIONS = "a tuple or list of exception classes"
RATE = "a number of tasks a second, or a string such as '10/s', '10/m' or '10/h'"
ON_MISSING = "'raise', 'discard', 'retry', or a function that takes the DoesNotExist"
RETRY = "a dict of the arguments of Task.retry, such as {'max_retries': 5}"

WRONG: list[tuple[str, Any, str]] = [
    ("autoretry_for", ValueError, EXCEPTIONS),
    ("autoretry_for", (ValueError, "OSError"), EXCEPTIONS),
    ("autoretry_for", (ValueError(),), EXCEPTIONS),
    ("autoretry_for", None, EXCEPTIONS),
    ("dont_autoretry_for", KeyError, EXCEPTIONS),
    ("throws", "ValueError", "an exception class, or a tuple of them"),
    ("throws", [ValueError], "an exception class, or a tuple of them"),
    ("max_retries", "3", "a whole number, or None to retry without a limit"),
    ("max_retries", True, "a whole number, or None to retry without a limit"),
    ("default_retry_delay", "60", SECONDS),
    ("default_retry_delay", -1, SECONDS),
    ("default_retry_delay", datetime.timedelta(minutes=1), SECONDS),
    ("time_limit", "30", SECONDS),
    ("soft_time_limit", True, SECONDS),
    ("rate_limit", "10/x", RATE),
    ("rate_limit", "ten/s", RATE),
    ("rate_limit", "nan", RATE),
    ("rate_limit", -1, RATE),
    ("rate_limit", (10, "s"), RATE),
    ("expires", "3600", "a number of seconds, a datetime, or None"),
    ("expires", datetime.timedelta(hours=1), "a number of seconds, a datetime, or None"),
    ("retry_backoff", "2", "True, False or a number of seconds"),
    ("retry_backoff_max", "600", "a number of seconds"),
    ("retry_backoff_max", None, "a number of seconds"),
    ("retry_jitter", "yes", "True or False"),
    ("retry_kwargs", 5, RETRY),
    ("retry_kwargs", {"max_retries": "5"}, RETRY),
    ("retry_kwargs", {"countdown": "5"}, RETRY),
    ("priority", "high", "a whole number, or None"),
    ("acks_late", "false", "True or False"),
    ("acks_on_failure_or_timeout", "no", "True or False"),
    ("bind", "yes", "True or False"),
    ("ignore_result", 1, "True or False"),
    ("pydantic", "yes", "True or False"),
    ("pydantic_context", [], "a dict"),
    ("reject_on_worker_lost", 0, "True or False"),
    ("track_started", "yes", "True or False"),
    ("typing", "no", "True or False"),
    ("queue", 5, "the name of a queue, or a kombu.Queue"),
    ("exchange", 5, "the name of an exchange, or a kombu.Exchange"),
    ("routing_key", 5, "a string"),
    ("compression", True, "the name of a compression"),
    ("delivery_mode", "fast", "'transient' or 'persistent'"),
    ("resultrepr_maxsize", "all", "a whole number"),
    ("on_missing", nothing, ON_MISSING),
    ("on_missing", two, ON_MISSING),
    ("on_success", "notify", "a function"),
    ("on_failure", None, "a function"),
    ("before_start", 5, "a function"),
    ("shadow_name", "ship", "a function"),
]


@pytest.mark.parametrize(("option", "value", "expected"), WRONG)
def test_an_option_of_a_wrong_type_is_refused(option: str, value: Any, expected: str) -> None:
    message = f"of go: {option} is {value!r}. It must be {expected}."

    assert refused(lambda: model_task(**{option: value})(go)) == f"@model_task {message}"
    assert refused(lambda: check_function_options("go", {option: value}, [])) == (
        f"@task {message}"
    )


RIGHT: list[tuple[str, Any]] = [
    ("autoretry_for", ()),
    ("autoretry_for", [OSError, ValueError]),
    ("autoretry_for", {OSError}),
    ("dont_autoretry_for", (KeyError,)),
    ("throws", ValueError),
    ("throws", (ValueError, (OSError, KeyError))),
    ("throws", ()),
    ("max_retries", None),
    ("max_retries", 0),
    ("default_retry_delay", 0.5),
    ("default_retry_delay", 0),
    ("time_limit", 30),
    ("soft_time_limit", None),
    ("rate_limit", None),
    ("rate_limit", 10),
    ("rate_limit", 0.5),
    ("rate_limit", "10"),
    ("rate_limit", "10/s"),
    ("rate_limit", "0.5/m"),
    ("rate_limit", "10/h"),
    ("expires", None),
    ("expires", 60),
    ("expires", datetime.datetime.now(tz=datetime.UTC)),
    ("retry_backoff", True),
    ("retry_backoff", 2),
    ("retry_backoff_max", 600),
    ("retry_jitter", False),
    ("retry_kwargs", {"max_retries": None, "countdown": 5, "queue": "slow"}),
    ("priority", 9),
    ("acks_late", None),
    ("track_started", True),
    ("queue", Queue("slow")),
    ("exchange", Exchange("slow")),
    ("delivery_mode", 1),
    ("delivery_mode", "persistent"),
    ("on_missing", "discard"),
    ("on_missing", note),
    ("on_missing", print),
    ("on_missing", dict),  # a builtin whose signature is not known
    ("on_missing", lambda *args: None),
    ("on_success", note),
    ("on_failure", staticmethod(note)),
    ("on_retry", classmethod(note)),
    ("backend", object()),
    ("Request", "shop.requests:Request"),
]


@pytest.mark.parametrize(("option", "value"), RIGHT)
def test_values_that_celery_accepts_are_accepted(option: str, value: Any) -> None:
    model_task(**{option: value})(go)
    check_function_options("go", {option: value}, [])


def test_options_of_a_custom_task_class_are_not_checked() -> None:
    class Logged(Task):  # type: ignore[type-arg]
        level = "info"

    model_task(base=Logged, level=5)(go)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("max_retrys", " Did you mean 'max_retries'?"),
        ("row", " Did you mean 'rows'?"),
        ("xyzzy", ""),
    ],
)
def test_an_option_that_functions_do_not_have_is_refused(option: str, meant: str) -> None:
    assert refused(lambda: check_function_options("notify", {option: 1}, [])) == (
        f"@task of notify has no option {option!r}.{meant} Options are those of Celery's tasks and "
        "of task; those of a task class come with base=."
    )


def test_a_function_cannot_have_on_commit() -> None:
    assert refused(lambda: check_function_options("notify", {"on_commit": True}, [])) == (
        "@task of notify has no option 'on_commit', which is for methods."
    )


def test_methods_do_not_take_the_option_rows() -> None:
    rows = {"order": {"manager": "paid", "on_missing": "discard"}}

    check_function_options("notify", {"rows": rows, "aliases": ["tell"]}, ["order"])

    assert refused(lambda: model_task(rows=rows)(go)).startswith(
        "@model_task of go has no option 'rows'."
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["order"],
            " is ['order']. It must be a dict of parameters and the options of their rows, such as "
            "{'order': {'manager': 'paid'}}.",
        ),
        (
            {"order": "paid"},
            " is {'order': 'paid'}. It must be a dict of parameters and the options of their rows, "
            "such as {'order': {'manager': 'paid'}}.",
        ),
        ({"order": {"manager": 5}}, "['order']['manager'] is 5. It must be the name of a manager."),
        (
            {"order": {"manger": "paid"}},
            "['order'] has no option 'manger'. Did you mean 'manager'?",
        ),
    ],
    ids=["a list", "a name", "a wrong value", "a typo"],
)
def test_wrong_options_of_rows_are_refused(rows: Any, message: str) -> None:
    assert refused(lambda: check_function_options("notify", {"rows": rows}, ["order"])) == (
        f"@task of notify: rows{message}"
    )


def test_rows_with_a_name_that_is_not_a_parameter_are_refused() -> None:
    rows = {"ordr": {"manager": "paid"}}

    assert refused(lambda: check_function_options("notify", {"rows": rows}, ["order", "to"])) == (
        "@task of notify: rows names 'ordr', which is not a parameter of it. They are order, to."
    )


def test_rows_that_contradict_themselves_are_refused() -> None:
    rows = {"order": {"select_for_update": {"batch": True, "skip_locked": True}}}

    assert refused(lambda: check_function_options("notify", {"rows": rows}, ["order"])) == (
        "@task of notify: rows['order']: select_for_update has 'batch', which waits for the locks "
        "of all rows, and 'nowait' or 'skip_locked'. Leave out one of them."
    )
