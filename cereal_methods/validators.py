"""Which values the options of ``@model_task`` and ``@task`` take: Celery's and the library's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from math import inf
from numbers import Real
from typing import Any, Final

from celery import Task
from celery.utils.time import rate
from django.db.models import Prefetch
from kombu import Exchange, Queue

#: Tells whether a value is one that an option takes.
Validator = Callable[[Any], bool]


def expected(option: str, value: Any) -> str | None:
    """Return what an option must be, unless ``value`` is just that."""
    is_valid, words = VALUES.get(option, (None, ""))
    if is_valid is None:
        # A hook, or any other method of a task, that is given as an option.
        if not inspect.isfunction(getattr(Task, option, None)):
            return None
        is_valid, words = _is_function, "a function"
    return None if is_valid(value) else words


def _is_function(value: Any) -> bool:
    return callable(value) or isinstance(value, classmethod | staticmethod)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= inf


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _are_exceptions(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(map(_is_exception, value))


def _is_caught(value: Any) -> bool:
    # What isinstance() takes.
    return _is_exception(value) or (isinstance(value, tuple) and all(map(_is_caught, value)))


def _is_rate(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return 0 <= rate(value) < inf
        except (KeyError, ValueError):
            return False
    return _is_seconds(value)


def _is_expiry(value: Any) -> bool:
    # Not a timedelta: Celery compares it with a number, and fails whenever the task is sent.
    return _is_number(value) or isinstance(value, datetime)


def _are_retry_options(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and all(map(_is_string, value))
        and not any(expected(name, value[name]) for name in value if name in VALUES)
    )


def _is_on_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("raise", "discard", "retry")
    return callable(value) and _takes_one(value)


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # its signature is not known, as a builtin's may not be
        pass
    return True


def _list_of(*kinds: type) -> Validator:
    def is_valid(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(item, kinds) for item in value)

    return is_valid


_are_strings: Final = _list_of(str)
_are_prefetches: Final = _list_of(str, Prefetch)


def _or_none(is_valid: Validator) -> Validator:
    return lambda value: value is None or is_valid(value)


_FLAG: Final = (_is_bool, "True or False")
#: None leaves it to Celery's settings.
_SETTING: Final = (_or_none(_is_bool), "True or False")
_TIME: Final = (_or_none(_is_seconds), "a number of seconds, or None")
_EXCEPTIONS: Final = (_are_exceptions, "a tuple or list of exception classes")
_MAPPING: Final = (_or_none(lambda value: isinstance(value, Mapping)), "a dict")

VALUES: Final[Mapping[str, tuple[Validator, str]]] = {
    # The library's own.
    "aliases": (_are_strings, "a list of strings"),
    "manager": (_or_none(_is_string), "the name of a manager"),
    "on_commit": _SETTING,
    "on_missing": (
        _is_on_missing,
        "'raise', 'discard', 'retry', or a function that takes the DoesNotExist",
    ),
    "prefetch_related": (
        lambda value: _is_string(value) or _are_prefetches(value),
        "a name, or a list of names and Prefetch objects",
    ),
    "rows": (
        lambda value: (
            isinstance(value, Mapping)
            and all(isinstance(options, Mapping) for options in value.values())
        ),
        "a dict of parameters and the options of their rows, such as "
        "{'order': {'manager': 'paid'}}",
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
    "compression": (_or_none(_is_string), "the name of a compression"),
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
    "expires": (_or_none(_is_expiry), "a number of seconds, a datetime, or None"),
    "ignore_result": _SETTING,
    "immediate": _SETTING,
    "mandatory": _SETTING,
    "max_retries": (_or_none(_is_whole), "a whole number, or None to retry without a limit"),
    "name": (_is_string, "a string"),
    "priority": (_or_none(_is_whole), "a whole number, or None"),
    "pydantic": _FLAG,
    "pydantic_context": _MAPPING,
    "pydantic_dump_kwargs": _MAPPING,
    "pydantic_strict": _FLAG,
    "queue": (
        lambda value: value is None or isinstance(value, str | Queue),
        "the name of a queue, or a kombu.Queue",
    ),
    "rate_limit": (
        _or_none(_is_rate),
        "a number of tasks a second, or a string such as '10/s', '10/m' or '10/h'",
    ),
    "reject_on_worker_lost": _SETTING,
    "resultrepr_maxsize": (_is_whole, "a whole number"),
    "retry_backoff": (
        lambda value: _is_bool(value) or _is_seconds(value),
        "True, False or a number of seconds",
    ),
    "retry_backoff_max": (_is_seconds, "a number of seconds"),
    "retry_jitter": _FLAG,
    "retry_kwargs": (
        _are_retry_options,
        "a dict of the arguments of Task.retry, such as {'max_retries': 5}",
    ),
    "retry_on_worker_lost": _SETTING,
    "routing_key": (_or_none(_is_string), "a string"),
    "send_events": _SETTING,
    "serializer": (_is_string, "the name of a serializer"),
    "soft_time_limit": _TIME,
    "store_eager_result": _SETTING,
    "store_errors_even_if_ignored": _SETTING,
    "throws": (_or_none(_is_caught), "an exception class, or a tuple of them"),
    "time_limit": _TIME,
    "track_started": _SETTING,
    "trail": _SETTING,
    "typing": _SETTING,
}
