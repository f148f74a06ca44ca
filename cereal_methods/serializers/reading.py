"""Reading bodies: what a body holds, from its first bytes and its header line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celery import current_app

from ..exceptions import InvalidMessage
from . import plain
from .call import Call
from .content import EncodedCall, EncodedResult, call_expected
from .nesting import DEEPEST, is_deep

if TYPE_CHECKING:
    from .body import BodyFormat

# The end of a header line, and the keys that tell what it heads. In a string of JSON their quotes
# would be escaped.
_TEXT: Final[Any] = ("\n", '"call":', '"embed":', '"eager":')
_BYTES: Final[Any] = tuple(text.encode() for text in _TEXT)


def loads(body_format: BodyFormat, data: Any) -> Any:
    """Return what a body holds. See ``BodyFormat.loads``."""
    body = data if isinstance(data, (str, bytes)) else bytes(data)
    if not body_format.is_signed and not body_format.has_header(body):
        return _loads_plain(body_format, body)
    newline, call_key, embed_key, eager_key = _TEXT if isinstance(body, str) else _BYTES
    end = body.find(newline, body_format.header_offset)
    line = body[body_format.header_offset : end if end >= 0 else len(body)]
    if call_key not in line:
        frame = body_format.read(body)
        if call_expected.get():
            raise InvalidMessage("The message is the result of a task, not a call.")
        return EncodedResult(body_format, frame)
    is_eager = eager_key in line and current_app.conf.task_always_eager
    return EncodedCall(Call(body_format, body), embed_key in line, is_eager)


def _loads_plain(body_format: BodyFormat, body: Any) -> Any:
    try:
        value = plain.value_of(body_format, body)
        if not call_expected.get():
            return value
        if not plain.is_call(value):
            raise InvalidMessage("The message is not a call of a task.")
        if body_format.max_depth(body) <= DEEPEST or not is_deep(value):
            return value
        # A consumer pickles the arguments into its pool, and dies if they are nested too deeply
        # for that. With a header line they reach the pool as bytes.
        return loads(body_format, plain.with_header(body_format, *value))
    except InvalidMessage as error:
        if not body_format.looks_like_call(body):
            raise
        return EncodedCall(Call(body_format, body, error))
