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

#: The embed of a body, by which the body is recognized, the headers of its message, and the same
#: of the message before: a receiver of the signal may send a message of its own.
_Publishing: TypeAlias = tuple[Any, Mapping[str, Any], Any]

_publishing: Final[ContextVar[_Publishing | None]] = ContextVar("publishing", default=None)

_json_name: Final = lru_cache(maxsize=1000)(json_text)  # of tasks, which are few


def remember(body: Any = None, headers: Any = None, **kwargs: Any) -> None:
    """Remember the headers of the message whose body is encoded next.

    A receiver of ``before_task_publish``.
    """
    if type(body) is tuple and len(body) == 3:
        previous = _publishing.get()
        _publishing.set((body[2], headers, previous and (*previous[:2], None)))


def binding_of(body: Any) -> str:
    """Return the JSON of what a call's body is for, or ``""`` if it is not published by Celery."""
    publishing = _publishing.get()
    while publishing is not None:
        embed, headers, publishing = publishing
        if embed is body[-1]:
            _publishing.set(publishing)
            return binding(headers)
    return ""


def binding(headers: Mapping[str, Any]) -> str:
    """Return the JSON of what the message with these headers is for."""
    expires = headers.get("expires")
    return (
        f"[{_json_name(headers['task'])},{json_text(headers['id'])},"
        f"{'null' if expires is None else json_text(str(expires))}]"
    )
