"""What durable tasks have returned, as their records keep it for duplicates of their messages."""

from __future__ import annotations

from typing import Any, Final

from kombu.serialization import dumps, loads

from ..celery_api.kombu import content_type_of

#: Plain pickles are not signed, and whoever can write to the table could run code.
_SIGNED: Final = "cereal-pickle"
_UNSIGNED: Final = frozenset({"pickle", "application/x-python-serialize"})


def encode(task: Any, request: Any, value: Any) -> bytes | None:
    """Return what a task has returned, encoded; ``None`` for ``None``.

    Nothing is kept where nobody would get it. Raises what the task's serializer raises for a
    value that it does not carry.
    """
    return None if value is None or not _is_wanted(task, request) else encoded(task, value)


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
    """Return the value that ``encode`` took."""
    if result is None:
        return None
    kind, encoding, payload = bytes(result).split(b"\n", 2)
    content_type = kind.decode()
    if content_type in _UNSIGNED or content_type == content_type_of("pickle"):
        raise ValueError(f"A record's result is a {content_type}, which is not read.")
    (value,) = loads(payload, content_type, encoding.decode(), accept={content_type})
    return value


def _is_wanted(task: Any, request: Any) -> bool:
    ignored = request.ignore_result or task.ignore_result
    return bool(not ignored or request.callbacks or request.chain or request.chord or request.group)
