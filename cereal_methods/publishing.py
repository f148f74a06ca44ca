"""The options of sending: ``apply_async(countdown=5)``, and errors in them."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any, Final

from celery import Celery, Task
from celery.app.amqp import AMQP
from kombu import Producer

from .references import THIS

_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

#: The options of sending that people use, and may take for arguments.
_USUAL: Final = frozenset(
    [
        "add_to_parent",
        "compression",
        "countdown",
        "eta",
        "exchange",
        "expires",
        "headers",
        "ignore_result",
        "link",
        "link_error",
        "priority",
        "queue",
        "retry",
        "retry_policy",
        "routing_key",
        "serializer",
        "shadow",
        "soft_time_limit",
        "task_id",
        "time_limit",
    ]
)

#: All that Celery and kombu name, and the properties that they hand to the transport without
#: naming them: AMQP's, and those that kombu's transports for Amazon and PostgreSQL read.
OPTIONS: Final = _USUAL.union(
    *(
        inspect.signature(function).parameters
        for function in (
            Task.apply_async,
            Task.apply,
            Celery.send_task,
            AMQP.as_task_v2,
            Producer.publish,
        )
    ),
    ["event_dispatcher", "exchange_type", "stamped_headers"],
    [
        "app_id",
        "application_headers",
        "cluster_id",
        "correlation_id",
        "message_id",
        "reply_to",
        "timestamp",
        "type",
        "user_id",
    ],
    ["DelaySeconds", "MessageDeduplicationId", "MessageGroupId", "message_attributes"],
) - {"self", "args", "kwargs", "body", "name", "options", "properties"}

#: What a call takes beside those.
_OWN: Final[Mapping[str, frozenset[str]]] = {
    "apply_async": frozenset(),
    "apply_async_on_commit": frozenset({"robust"}),
    "bulk_apply_async": frozenset({"batch_size"}),
    "bulk_apply_async_on_commit": frozenset({"batch_size", "robust"}),
    "bulk_signature": frozenset({"batch_size"}),
    "signature": frozenset({"app", "immutable", "options", "subtask_type", "type"}),
}


def misplaced(
    name: str, signature: inspect.Signature, call: str, kwargs: Mapping[str, Any]
) -> TypeError | None:
    """Return an error for options of sending that are among a method's arguments, if any are.

    ``call`` is the one that takes them: ``apply_async``.
    """
    parameters = signature.parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return None
    options = _USUAL | _OWN[call]
    found = [each for each in kwargs if each in options and each not in parameters]
    if not found:
        return None
    before = "rows, args" if call.startswith("bulk") else "args"
    if kwargs.keys() - {*found, THIS}:
        before += ", kwargs"
    given = ", ".join(f"{each}={_brief(kwargs[each])}" for each in found)
    return TypeError(
        f"{name}() got an unexpected keyword argument {found[0]!r}, which is an option of sending. "
        f"Write {name}.{call}({before}, {given})."
    )


def _brief(value: Any) -> str:
    return repr(value) if isinstance(value, bool | int | float) else "..."


def check_options(task: Any, options: Mapping[str, Any], call: str = "apply_async") -> None:
    """Raise ``TypeError`` for an option of sending that nobody takes."""
    unknown = options.keys() - OPTIONS
    if unknown:
        unknown -= {*_OWN[call], *(options.get("stamped_headers") or ())}
        if unknown:
            _refuse(task, [each for each in options if each in unknown], call)


def _refuse(task: Any, unknown: list[str], call: str) -> None:
    # A task class may have options of its own, and take them by name or as **options.
    apply_async = next(
        vars(kind)["apply_async"]
        for kind in type(task).__mro__
        if "apply_async" in vars(kind) and "row_policy" not in vars(kind)
    )
    taken = inspect.signature(apply_async).parameters
    arguments = inspect.signature(task.__header__).parameters
    for option in unknown:
        if option in taken and taken[option].kind not in _VARIADIC:
            continue
        if option in arguments and arguments[option].kind not in _VARIADIC:
            hint = f"It is an argument of the method: kwargs={{{option!r}: ...}}."
        elif near := difflib.get_close_matches(option, OPTIONS | _OWN[call], n=1, cutoff=0.75):
            hint = f"Did you mean {near[0]!r}?"
        elif apply_async is Task.apply_async:
            hint = "Options are those of Celery's apply_async."
        else:
            continue
        raise TypeError(f"{task.name}: {call} has no option {option!r}. {hint}")
