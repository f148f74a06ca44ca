"""The values that the options of ``@model_task`` and ``@task`` can have."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from celery import Task
from django.db.models import Prefetch
from kombu import Exchange, Queue

from .predicates import (
    Predicate,
    are_exceptions,
    is_bool,
    is_caught,
    is_expiry,
    is_function,
    is_mapping,
    is_on_missing,
    is_rate,
    is_seconds,
    is_string,
    is_whole,
    list_of,
    or_none,
)

_LOCK_OPTIONS: Final = frozenset({"nowait", "skip_locked", "of", "no_key", "batch"})


def requirement(option: str, value: Any) -> str | None:
    """Return what the value of an option must be, or None if the value is valid."""
    predicate, words = VALUES.get(option, (None, ""))
    if predicate is None:
        # A method of the task's class, such as on_success, can be given as an option.
        if not inspect.isfunction(getattr(Task, option, None)):
            return None
        predicate, words = is_function, "a function"
    return None if predicate(value) else words


def _are_retry_options(value: Any) -> bool:
    return (
        is_mapping(value)
        and all(map(is_string, value))
        and not any(requirement(name, value[name]) for name in value if name in VALUES)
    )


def _are_lock_options(value: Any) -> bool:
    return is_mapping(value) and value.keys() <= _LOCK_OPTIONS


_are_strings: Final = list_of(str)
_are_prefetches: Final = list_of(str, Prefetch)

_FLAG: Final = (is_bool, "True or False")
#: None leaves it to Celery's settings.
_SETTING: Final = (or_none(is_bool), "True or False")
_TIME: Final = (or_none(is_seconds), "a number of seconds, or None")
_EXCEPTIONS: Final = (are_exceptions, "a tuple or list of exception classes")
_MAPPING: Final = (or_none(is_mapping), "a dict")

#: For each option the predicate of its values, and the words for what they are.
VALUES: Final[Mapping[str, tuple[Predicate, str]]] = {
    # The library's.
    "aliases": (_are_strings, "a list of strings"),
    "atomic": _FLAG,
    "durable": _SETTING,
    "manager": (or_none(is_string), "the name of a manager"),
    "on_commit": _SETTING,
    "on_missing": (
        is_on_missing,
        "'raise', 'discard', 'retry', or a function that takes the DoesNotExist",
    ),
    "prefetch_related": (
        lambda value: is_string(value) or _are_prefetches(value),
        "a name, or a list of names and Prefetch objects",
    ),
    "rows": (
        lambda value: is_mapping(value) and all(map(is_mapping, value.values())),
        "a dict of parameters and the options of their rows, such as "
        "{'order': {'manager': 'paid'}}",
    ),
    "select_for_update": (
        or_none(lambda value: is_bool(value) or _are_lock_options(value)),
        f"True or a dict of its options: {', '.join(sorted(_LOCK_OPTIONS))}",
    ),
    "select_related": (
        lambda value: isinstance(value, (bool, str)) or _are_strings(value),
        "True, a name or a list of names",
    ),
    # Celery's.
    "abstract": _FLAG,
    "acks_late": _SETTING,
    "acks_on_failure": _SETTING,
    "acks_on_failure_or_timeout": _SETTING,
    "acks_on_timeout": _SETTING,
    "autoretry_for": _EXCEPTIONS,
    "bind": _FLAG,
    "compression": (or_none(is_string), "the name of a compression"),
    "countdown": _TIME,  # in retry_kwargs
    "default_retry_delay": _TIME,
    "delivery_mode": (
        lambda value: value in (None, 1, 2, "transient", "persistent"),
        "'transient' or 'persistent'",
    ),
    "dont_autoretry_for": _EXCEPTIONS,
    "exchange": (
        lambda value: value is None or isinstance(value, str | Exchange),
        "the name of an exchange, or a kombu.Exchange",
    ),
    "expires": (or_none(is_expiry), "a number of seconds, a datetime, or None"),
    "ignore_result": _SETTING,
    "immediate": _SETTING,
    "mandatory": _SETTING,
    "max_retries": (or_none(is_whole), "a whole number, or None to retry without a limit"),
    "name": (is_string, "a string"),
    "priority": (or_none(is_whole), "a whole number, or None"),
    "pydantic": _FLAG,
    "pydantic_context": _MAPPING,
    "pydantic_dump_kwargs": _MAPPING,
    "pydantic_strict": _FLAG,
    "queue": (
        lambda value: value is None or isinstance(value, str | Queue),
        "the name of a queue, or a kombu.Queue",
    ),
    "rate_limit": (
        or_none(is_rate),
        "a number of tasks a second, or a string such as '10/s', '10/m' or '10/h'",
    ),
    "reject_on_worker_lost": _SETTING,
    "resultrepr_maxsize": (is_whole, "a whole number"),
    "retry_backoff": (
        lambda value: is_bool(value) or is_seconds(value),
        "True, False or a number of seconds",
    ),
    "retry_backoff_max": (is_seconds, "a number of seconds"),
    "retry_jitter": _FLAG,
    "retry_kwargs": (
        _are_retry_options,
        "a dict of the arguments of Task.retry, such as {'max_retries': 5}",
    ),
    "retry_on_worker_lost": _SETTING,
    "routing_key": (or_none(is_string), "a string"),
    "send_events": _SETTING,
    "serializer": (is_string, "the name of a serializer"),
    "soft_time_limit": _TIME,
    "store_eager_result": _SETTING,
    "store_errors_even_if_ignored": _SETTING,
    "throws": (or_none(is_caught), "an exception class, or a tuple of them"),
    "time_limit": _TIME,
    "track_started": _SETTING,
    "trail": _SETTING,
    "typing": _SETTING,
}
