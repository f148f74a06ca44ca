"""The envelope of a message: its headers and properties, which Celery does not check.

Celery's consumer reads them outside of any ``try``: a header of a wrong type ends the worker,
and the broker delivers the message to the next one.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from ..celery_api.tasks import maybe_iso8601
from ..exceptions import InvalidMessage
from ..rows.key_text import describe_type
from ..serializers.content import call_expected

#: The most characters of a name or an id.
MAX_LENGTH: Final = 1000


def error_in(message: Any) -> InvalidMessage | None:
    """Return why a worker cannot read a message's envelope, or None if it can."""
    headers = message.headers
    if not isinstance(headers, Mapping):
        return InvalidMessage(f"The message's headers are {describe_type(headers)} and not a dict.")
    if "task" not in headers:  # of protocol 1: the body has all of it
        token = call_expected.set(True)
        try:
            payload = message.payload
        except Exception as error:  # its text may quote the message
            return InvalidMessage(f"The message cannot be decoded: {type(error).__name__}.")
        finally:
            call_expected.reset(token)
        if not isinstance(payload, Mapping) or "task" not in payload:
            return InvalidMessage("The message names no task.")
        headers = {**payload, **headers}
        containers: dict[str, Any] = {"args": (list, tuple), "kwargs": Mapping}
        for name, kinds in containers.items():
            if name in headers and not isinstance(headers[name], kinds):
                return _wrong(name, headers[name])
    if not _is_name(headers["task"]):
        return _wrong("task", headers["task"])
    if not isinstance(headers.get("id"), str):
        return InvalidMessage("The message has no id.")
    if not _is_name(headers["id"]):
        return _wrong("id", headers["id"])
    for name, is_valid in _VALID.items():
        value = headers.get(name)
        if value is not None and not is_valid(value):
            return _wrong(name, value)
    for name in ("correlation_id", "reply_to"):
        value = (message.properties or {}).get(name)
        if value is not None and not isinstance(value, str):
            return _wrong(name, value)
    return None


def _wrong(name: str, value: Any) -> InvalidMessage:
    return InvalidMessage(
        f"The message's header {name!r} cannot be read: it is {describe_type(value)}."
    )


def _is_name(value: Any) -> bool:
    # It is written to logs: it must not make lines there.
    return isinstance(value, str) and 0 < len(value) <= MAX_LENGTH and value.isprintable()


def _is_shadow(value: Any) -> bool:
    return value == "" or _is_name(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 31


def _is_moment(value: Any) -> bool:
    if isinstance(value, datetime.datetime):
        return True
    if not isinstance(value, str) or len(value) > 100:
        return False
    try:
        maybe_iso8601(value)
    except (AttributeError, ArithmeticError, TypeError, ValueError):
        return False
    return True


def _are_limits(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_limit, value))


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and 0 <= value <= 1e9


def _are_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple, set)) and all(map(_is_text, value))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


_VALID: Final[Mapping[str, Callable[[Any], bool]]] = {
    "argsrepr": _is_text,
    "eta": _is_moment,
    "expires": _is_moment,
    "group": _is_text,
    "group_index": lambda value: isinstance(value, int),
    "headers": _is_mapping,
    "ignore_result": lambda value: isinstance(value, int),
    "kwargsrepr": _is_text,
    "origin": _is_text,
    "parent_id": _is_text,
    "replaced_task_nesting": _is_count,
    "retries": _is_count,
    "root_id": _is_text,
    "shadow": _is_shadow,
    "stamped_headers": _are_texts,
    "stamps": _is_mapping,
    "timelimit": _are_limits,
}
