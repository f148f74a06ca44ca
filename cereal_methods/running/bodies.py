"""What the body of a message must be, so that a worker can run its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kombu.exceptions import ContentDisallowed, DecodeError

from ..exceptions import InvalidMessage
from ..serializers.content import call_expected
from ..serializers.frame import EMPTY_EMBED
from . import signatures
from .arguments import LazyArgs
from .embed import LazyEmbed, check_embed, check_forwarded

if TYPE_CHECKING:
    from ..serializers.call import Call

#: The content type of Celery's own signed messages.
_SIGNED_BY_CELERY: Final = "application/data"

#: The content types whose sender is trusted: a pickle can run any code.
_TRUSTED: Final = frozenset({_SIGNED_BY_CELERY, "application/x-python-serialize"})


def error_in(
    message: Any, name: str, body: Any = None, *, needs_signature: bool = False
) -> InvalidMessage | None:
    """Return why a message's body does not call the task ``name``, or None if it does.

    ``body`` is the decoded body of a message of protocol 1, and None for other messages. With
    ``needs_signature``, an unsigned message is refused.
    """
    if body is None:
        body = _decoded(message)
        if isinstance(body, InvalidMessage):
            return body
        if not isinstance(message.headers.get("id"), str):
            return InvalidMessage("The message has no id.")
        if not _is_call(body):
            return InvalidMessage("The message is not a call of a task.")
    # Of protocol 1 with or without headers, or of protocol 2.
    parts = (body.get("args"), body.get("kwargs"), body) if isinstance(body, dict) else body
    call = parts[0].call if isinstance(parts[0], LazyArgs) else None
    if needs_signature and message.content_type == _SIGNED_BY_CELERY:
        needs_signature = False
    error = signatures.error_in(call, message.headers, needs_signature=needs_signature)
    return error or _error_in_canvas(message, name, call, *parts)


def _decoded(message: Any) -> Any:
    """Return the decoded body of a message, or an ``InvalidMessage`` that says what is wrong."""
    token = call_expected.set(True)
    try:
        return message.payload
    except ContentDisallowed as error:
        reason = " ".join(f"{error!s:.200}".split())  # it names the content type
        if message.content_type == "application/x-python-serialize":
            return InvalidMessage(f"{reason} Send it with serializer='cereal-pickle'.")
        return InvalidMessage(f"{reason} Add its serializer to accept_content here.")
    except DecodeError as error:
        cause = error.args[0] if error.args else None
        if isinstance(cause, InvalidMessage):
            return cause
        # The errors of other parsers quote what they parse.
        return InvalidMessage(f"The message cannot be decoded: {type(cause).__name__}.")
    finally:
        call_expected.reset(token)


def _is_call(body: Any) -> bool:
    if isinstance(body, dict):
        return "args" in body
    return (
        isinstance(body, (tuple, list))
        and len(body) == 3
        and isinstance(body[0], (tuple, list, LazyArgs))
        and isinstance(body[1], Mapping)
        and (body[2] is None or isinstance(body[2], Mapping))
    )


def _error_in_canvas(
    message: Any, name: str, call: Call | None, args: Any, kwargs: Any, embed: Any
) -> InvalidMessage | None:
    """Return why the signatures in a message may not be sent on, or None if they may."""
    if message.content_type in _TRUSTED or (call is not None and signatures.claims_signature(call)):
        return None
    try:
        if not isinstance(embed, LazyEmbed):  # a LazyEmbed checks itself when it is read
            # Celery takes from the headers what the embed does not have.
            parts, headers = embed or {}, message.headers
            values = {key: parts.get(key, headers.get(key)) for key in EMPTY_EMBED}
            check_embed(values, is_signed=False)
        if name.startswith("celery."):  # Celery's own tasks send signatures in their arguments
            check_forwarded([args, kwargs] if call is None else list(call.safe_view()))
    except InvalidMessage as error:
        return error
    return None
