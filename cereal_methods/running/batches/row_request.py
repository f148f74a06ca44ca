"""The request of one row of a batch, as hooks and signals see it."""

from __future__ import annotations

from typing import Any

from ...celery_api.tasks import derived_request
from ...results.messages import MESSAGE_HEADERS

#: What belongs to the whole message, and not to each of its rows.
_OF_MESSAGE = ("callbacks", "errbacks", "chain", "chord", "group", "group_index")


def row_request(
    message: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], **attributes: Any
) -> Any:
    """Return the request that a message for only some of another message's rows would have.

    ``message`` is the request of the other message. The new request has no callbacks, because
    those belong to the whole message.
    """
    headers = dict(message.headers or {})
    for name in MESSAGE_HEADERS:
        headers.pop(name, None)
    values: dict[str, Any] = {
        "id": task_id,
        "parent_id": message.id,
        "correlation_id": task_id,
        "args": args,
        "kwargs": kwargs,
        "headers": headers,
        **dict.fromkeys(_OF_MESSAGE),
        **attributes,
    }
    return derived_request(message, MESSAGE_HEADERS, **values)
