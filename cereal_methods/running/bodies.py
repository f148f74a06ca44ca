"""What the body of a message must be, so that a worker can run its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kombu.exceptions import ContentDisallowed, DecodeError

from ..exceptions import InvalidMessage
from ..serializers.content import call_expected
from ..serializers.frame import EMPTY_EMBED
from .arguments import LazyArgs
from .embed import LazyEmbed, check_embed, check_forwarded

#: The content types of Celery's own signed messages, and of pickle, whose sender can do anything.
_TRUSTED: Final = frozenset({"application/data", "application/x-python-serialize"})


def error_in(message: Any, name: str, body: Any = None) -> InvalidMessage | None:
    """Return why a message's body does not call the task ``name``, or None if it does.

    ``body`` is the decoded body of a message of protocol 1; None for others.
    """
    if body is not None:
        return _error_in_canvas(message, name, body.get("args"), body.get("kwargs"), body)
    token = call_expected.set(True)
    try:
        body = message.payload
    except ContentDisallowed as error:
        if message.content_type == "application/x-python-serialize":
            return InvalidMessage(f"{error!s:.200} Send it with serializer='cereal-pickle'.")
        return InvalidMessage(f"{error!s:.200} Add its serializer to accept_content here.")
    except DecodeError as error:
        cause = error.args[0] if error.args else None
        if isinstance(cause, InvalidMessage):
            return cause
        # The errors of other parsers quote what they parse.
        return InvalidMessage(f"The message cannot be decoded: {type(cause).__name__}.")
    finally:
        call_expected.reset(token)
    if not isinstance(message.headers.get("id"), str):
        return InvalidMessage("The message has no id.")
    if isinstance(body, dict) and "args" in body:  # of protocol 1, with headers
        return _error_in_canvas(message, name, body.get("args"), body.get("kwargs"), body)
    if (
        isinstance(body, (tuple, list))
        and len(body) == 3
        and isinstance(body[0], (tuple, list, LazyArgs))
        and isinstance(body[1], Mapping)
        and (body[2] is None or isinstance(body[2], Mapping))
    ):
        return _error_in_canvas(message, name, *body)
    return InvalidMessage("The message is not a call of a task.")


def _error_in_canvas(
    message: Any, name: str, args: Any, kwargs: Any, embed: Any
) -> InvalidMessage | None:
    """Return why the signatures in a message may not be sent on, or None if they may."""
    call = args.call if isinstance(args, LazyArgs) else None
    if message.content_type in _TRUSTED or (call is not None and call.decoder.is_signed):
        return None
    try:
        if not isinstance(embed, LazyEmbed):  # which checks itself when it is read
            values = {key: embed.get(key) for key in EMPTY_EMBED} if embed else {}
            check_embed(values, is_signed=False)
        if name.startswith("celery."):  # Celery's own tasks send signatures in their arguments
            check_forwarded([args, kwargs] if call is None else list(call.safe_view()))
    except InvalidMessage as error:
        return error
    return None
