"""Binding a signed body to its message: to its task, its id and its expiry.

These are headers of the message, which kombu's serializers do not see. Celery's signal
``before_task_publish`` has both the body and the headers, just before the body is encoded. A signed
body repeats them in its header line, and a worker refuses a body whose message has others.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from json.encoder import encode_basestring_ascii as json_text
from typing import Any, Final, TypeAlias

#: The headers of a message that its body repeats, in this order.
HEADERS: Final = ("task", "id", "expires")

#: The embed of a body, which identifies the body, and the headers of its message.
_Publishing: TypeAlias = tuple[Any, Mapping[str, Any]]

#: The messages whose bodies are not encoded yet, the newest first, because receivers of the signal
#: may send messages of their own. Before them, whether the newest one is encoded.
_publishing: Final[ContextVar[tuple[bool, tuple[_Publishing, ...]]]] = ContextVar(
    "publishing", default=(False, ())
)

#: The maximum number of these messages. They are not removed if another serializer encodes them.
_MOST: Final = 16

_json_name: Final = lru_cache(maxsize=1000)(json_text)  # there are few names of tasks


def remember(body: Any = None, headers: Any = None, **kwargs: Any) -> None:
    """Remember the headers of the message whose body is encoded next.

    A receiver of ``before_task_publish``.
    """
    if type(body) is tuple and len(body) == 3:
        is_encoded, before = _publishing.get()
        before = before[1:_MOST] if is_encoded else before[: _MOST - 1]
        _publishing.set((False, ((body[2], headers), *before)))


def binding_of(body: Any) -> str:
    """Return the headers that a call's body is bound to, as JSON, or ``""`` if there are none."""
    _, publishing = _publishing.get()
    for position, (embed, headers) in enumerate(publishing):
        if embed is body[-1]:
            # Do not remove it yet: if Celery cannot publish the message, it encodes the body again.
            _publishing.set((True, publishing[position:]))
            return binding(headers)
    return ""


def binding(headers: Mapping[str, Any]) -> str:
    """Return the headers that bind a body to its message, as JSON."""
    expires = headers.get("expires")
    return (
        f"[{_json_name(headers['task'])},{json_text(headers['id'])},"
        f"{'null' if expires is None else json_text(str(expires))}]"
    )
