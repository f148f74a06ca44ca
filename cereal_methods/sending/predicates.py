"""Predicates: functions that say whether an option can have a value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from math import inf
from numbers import Real
from typing import Any, TypeAlias

from ..celery_api.tasks import rate

Predicate: TypeAlias = Callable[[Any], bool]


def is_function(value: Any) -> bool:
    """Whether a class can have it as a method."""
    return callable(value) or isinstance(value, classmethod | staticmethod)


def is_string(value: Any) -> bool:
    """Whether it is a string."""
    return isinstance(value, str)


def is_bool(value: Any) -> bool:
    """Whether it is True or False."""
    return isinstance(value, bool)


def is_mapping(value: Any) -> bool:
    """Whether it is a dict or another mapping."""
    return isinstance(value, Mapping)


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a real number; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_seconds(value: Any) -> bool:
    """Whether it is a number of seconds, which is not negative."""
    return is_number(value) and 0 <= value <= inf


def is_exception(value: Any) -> bool:
    """Whether it is an exception class."""
    return isinstance(value, type) and issubclass(value, BaseException)


def are_exceptions(value: Any) -> bool:
    """Whether it is a collection of exception classes."""
    return isinstance(value, list | tuple | set | frozenset) and all(map(is_exception, value))


def is_caught(value: Any) -> bool:
    """Whether ``isinstance()`` takes it: an exception class, or nested tuples of them."""
    return is_exception(value) or (isinstance(value, tuple) and all(map(is_caught, value)))


def is_rate(value: Any) -> bool:
    """Whether Celery can read it as a rate: ``10``, ``"10/m"``."""
    if isinstance(value, str):
        try:
            return 0 <= rate(value) < inf
        except (KeyError, ValueError):
            return False
    return is_seconds(value)


def is_expiry(value: Any) -> bool:
    """Whether it is a number of seconds or a datetime.

    A timedelta is not: Celery compares it with a number, which fails whenever the task is sent.
    """
    return is_number(value) or isinstance(value, datetime)


def is_on_missing(value: Any) -> bool:
    """Whether it is a value of ``on_missing``."""
    if isinstance(value, str):
        return value in ("raise", "discard", "retry")
    return callable(value) and _takes_one(value)


def _takes_one(function: Any) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # the signature is unknown, as that of a builtin may be
        pass
    return True


def or_none(predicate: Predicate) -> Predicate:
    """Return a predicate that allows None as well."""
    return lambda value: value is None or predicate(value)


def list_of(*kinds: type) -> Predicate:
    """Return the predicate of a list or tuple of instances of some types."""

    def is_valid(value: Any) -> bool:
        return isinstance(value, list | tuple) and all(isinstance(item, kinds) for item in value)

    return is_valid
