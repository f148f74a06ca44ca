"""Sending a received message again, with the same body and other headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ...celery_api.worker import context_of
from ...results.messages import CRASHES, ROWS
from ...serializers.binding import binding
from ..message import call_of

if TYPE_CHECKING:
    from .request import RowRequest

#: Headers of one delivery. The body is not compressed any more.
_OF_DELIVERY: Final = ("compression", "redelivered", "x-death")

#: After how many seconds a message runs again whose task's state could not be stored.
_PAUSE: Final = 2.0


def soon() -> str:
    """Return when a message runs again whose task's state could not be stored."""
    return (datetime.now(UTC) + timedelta(seconds=_PAUSE)).isoformat()


def send_again(request: RowRequest, **changes: Any) -> None:
    """Send the message of a request again; ``changes`` are headers."""
    message = request.message
    properties = dict(message.properties or {})
    delivery = message.delivery_info or {}
    headers = {**message.headers, **changes}
    body = message.body  # undecoded
    call = call_of(context_of(request))
    if "id" in changes and call is not None:
        body = call.decoder.bound_again(call.body, binding(headers))
    for name in _OF_DELIVERY:
        headers.pop(name, None)
    with request.app.producer_or_acquire() as producer:
        producer.publish(
            body,
            exchange=delivery.get("exchange") or "",
            routing_key=delivery.get("routing_key"),
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=headers,
            correlation_id=headers["id"],
            reply_to=properties.get("reply_to"),
            priority=properties.get("priority") or 0,
            delivery_mode=properties.get("delivery_mode") or 2,
            retry=True,
            retry_policy=request.app.conf.task_publish_retry_policy,
        )


def send_part(request: RowRequest, first: int, end: int, task_id: str, crashes: int = 0) -> None:
    """Send a message for some rows of a batch: from position ``first`` on, before ``end``."""
    offset, _ = request.request_dict.get(ROWS) or (0, 0)
    part = [offset + first, offset + end]
    headers = {"id": task_id, "parent_id": request.id, ROWS: part, CRASHES: crashes}
    send_again(request, **headers)
