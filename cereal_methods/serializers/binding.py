"""What a signed body is for: the task, the id and the expiry of its message.

These are headers of the message, which kombu's serializers neither write nor see. Celery's signal
``before_task_publish`` has both the body and the headers, just before the body is encoded. So a
signed body repeats them in its header line, and a worker refuses a body whose message has others.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from json.encoder import encode_basestring_ascii as json_text
from typing import Any, Final, TypeAlias

#: The headers of a message that its body repeats, in this order.
HEADERS: Final = ("task", "id", "expires")

#: The embed of a body, by which the body is recognized, and the headers of its message.
_Publishing: TypeAlias = tuple[Any, Mapping[str, Any]]

#: The messages whose bodies have not been encoded yet, the last first; and whether the first of
#: them has been. Receivers of the signal may send messages of their own.
_publishing: Final[ContextVar[tuple[bool, tuple[_Publishing, ...]]]] = ContextVar(
    "publishing", default=(False, ())
)

#: The most of these messages. Nobody says that another serializer has encoded a body.
_MOST: Final = 16

_json_name: Final = lru_cache(maxsize=1000)(json_text)  # of tasks, which are few


def remember(body: Any = None, headers: Any = None, **kwargs: Any) -> None:
    """Remember the headers of the message whose body is encoded next.

    A receiver of ``before_task_publish``.
    """
    if type(body) is tuple and len(body) == 3:
        is_encoded, before = _publishing.get()
        before = before[1:_MOST] if is_encoded else before[: _MOST - 1]
        _publishing.set((False, ((body[2], headers), *before)))


def binding_of(body: Any) -> str:
    """Return the JSON of what a call's body is for, or ``""`` if it is not published by Celery."""
    _, publishing = _publishing.get()
    for position, (embed, headers) in enumerate(publishing):
        if embed is body[-1]:
            # It stays for the moment: Celery may encode a body again that it could not publish.
            _publishing.set((True, publishing[position:]))
            return binding(headers)
    return ""


def binding(headers: Mapping[str, Any]) -> str:
    """Return the JSON of what the message with these headers is for."""
    expires = headers.get("expires")
    return (
        f"[{_json_name(headers['task'])},{json_text(headers['id'])},"
        f"{'null' if expires is None else json_text(str(expires))}]"
    )
