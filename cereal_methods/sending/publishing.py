"""The options of sending: ``apply_async(countdown=5)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..celery_api.tasks import named_options

#: The options that callers use, and may pass to ``delay`` by mistake.
COMMON_OPTIONS: Final = frozenset(
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

#: Every option that Celery and kombu name, and the properties that they pass on to the transport
#: without naming them: those of AMQP, and those that kombu's transports for Amazon SQS and
#: PostgreSQL read.
OPTIONS: Final = COMMON_OPTIONS.union(
    named_options(),
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

#: The further options of each way of sending.
CALL_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "apply_async": frozenset(),
    "apply_async_on_commit": frozenset({"robust"}),
    "bulk_apply_async": frozenset({"batch_size"}),
    "bulk_apply_async_on_commit": frozenset({"batch_size", "robust"}),
    "bulk_signature": frozenset({"batch_size"}),
    "signature": frozenset({"app", "immutable", "options", "subtask_type", "type"}),
}

#: Options of one task, which a bulk cannot have.
BULK_REFUSES: Final = frozenset({"task_id", "link", "link_error", "chord", "chain", "group_id"})
