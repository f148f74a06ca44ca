"""What a message claims of its signature, before the signature is verified.

The consumer compares what a signed body is for with the message's headers. It does not verify the
signature: whoever changes what the body is for makes the signature wrong, and the task fails for
that when its arguments are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .. import conf
from ..exceptions import InvalidMessage, SignatureMismatch
from ..serializers.binding import HEADERS, binding
from ..serializers.header import BOUND
from ..serializers.signing import has_signature

if TYPE_CHECKING:
    from ..serializers.call import Call

#: How many characters of what a body is for are read to tell what differs.
_LONGEST: Final = 5000

_decode_first: Final = json.JSONDecoder().raw_decode


def claims_signature(call: Call) -> bool:
    """Whether the body of a call says that it is signed."""
    if call.decoder.is_signed:
        return True
    body: Any = call.body
    end = body.find("\n" if isinstance(body, str) else b"\n")
    return end >= 0 and has_signature(body[:end])


def error_in(
    call: Call | None, headers: Mapping[str, Any], *, needs_signature: bool
) -> InvalidMessage | None:
    """Return why a message may not be run by its signature, or None if it may.

    ``call`` is None if another serializer has written the body.
    """
    if call is None or not claims_signature(call):
        return _NOT_SIGNED if needs_signature else None
    # A broker's client may give bytes as text, if the message's content_encoding says so.
    body: Any = call.body
    start, is_text = call.decoder.header_offset, isinstance(body, str)
    said: Any = BOUND if is_text else BOUND.encode()
    bound = binding(headers)
    if body.startswith(said + (bound if is_text else bound.encode()), start):
        return None
    if body.startswith(said, start):
        rest = body[start + len(said) : start + len(said) + _LONGEST]
        return _mismatch(rest if is_text else rest.decode("utf-8", "replace"), headers)
    return _NOT_BOUND if conf.get("REQUIRE_BOUND") else None


def _mismatch(text: str, headers: Mapping[str, Any]) -> InvalidMessage:
    try:
        values, _ = _decode_first(text)
        pairs = zip(HEADERS, values, json.loads(binding(headers)), strict=True)
        names = [name for name, signed, actual in pairs if signed != actual]
    except (TypeError, ValueError, RecursionError):
        names = []
    return SignatureMismatch(
        f"The message was signed for another {' and '.join(names) or 'message'}. Somebody with "
        "access to the broker has put its body into a message of their own, or has changed its "
        "headers."
    )


_NOT_SIGNED: Final = InvalidMessage(
    "The message is not signed, and CEREAL_METHODS['REQUIRE_SIGNED'] is True here. Set SIGN_ALL or "
    "REQUIRE_SIGNED where it is sent, and use cereal-json in place of json."
)
_NOT_BOUND: Final = InvalidMessage(
    "The signature of the message does not say which task and id it is for, and "
    "CEREAL_METHODS['REQUIRE_BOUND'] is True here. It was sent by an earlier version of "
    "cereal_methods, or by a process without cereal_methods in its INSTALLED_APPS."
)
