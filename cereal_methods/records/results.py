"""The results of durable tasks in their records, for messages that are delivered again."""

from __future__ import annotations

from typing import Any, Final

from kombu.serialization import dumps, loads

from ..celery_api.kombu import content_type_of

#: Plain pickles are not signed: anyone who can write to the table could run code.
_SIGNED: Final = "cereal-pickle"
_UNSIGNED: Final = frozenset({"pickle", "application/x-python-serialize"})


def encode(task: Any, request: Any, value: Any) -> bytes | None:
    """Return the encoded result of a task, or ``None`` if nothing needs it or it is ``None``.

    Raises the error of the task's serializer if it cannot encode the value.
    """
    return None if value is None or not _is_needed(task, request) else encoded(task, value)


def encoded(task: Any, value: Any) -> bytes:
    """Return a value encoded by a task's serializer."""
    serializer = task.serializer or task.app.conf.task_serializer
    if serializer in _UNSIGNED:
        serializer = _SIGNED
    payload: Any
    kind, encoding, payload = dumps([value], serializer=serializer)
    if isinstance(payload, str):
        payload = payload.encode(encoding)
    return b"\n".join((kind.encode(), encoding.encode(), payload))


def decode(result: Any) -> Any:
    """Return the value of a result that ``encode`` has encoded."""
    if result is None:
        return None
    kind, encoding, payload = bytes(result).split(b"\n", 2)
    content_type = kind.decode()
    if content_type in _UNSIGNED or content_type == content_type_of("pickle"):
        raise ValueError(
            f"A record's result has the content type {content_type}, which is not accepted."
        )
    (value,) = loads(payload, content_type, encoding.decode(), accept={content_type})
    return value


def _is_needed(task: Any, request: Any) -> bool:
    ignored = request.ignore_result or task.ignore_result
    return bool(not ignored or request.callbacks or request.chain or request.chord or request.group)
