"""What a message claims about its signature, before the signature is verified.

A signed body repeats headers of its message, and the consumer compares the two. It does not verify
the signature. If an attacker changes the repeated headers, the signature is wrong, and the task
fails when its arguments are read.
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

#: How many characters of a body are read to find the headers that differ.
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
    """Return why the signature of a message forbids to run it, or None if it does not.

    ``call`` is None if the body was written by a serializer of another package.
    """
    if call is None or not claims_signature(call):
        return _NOT_SIGNED if needs_signature else None
    # A broker's client may give bytes as text, if the message's content_encoding says so.
    body: Any = call.body
    start, is_text = call.decoder.header_offset, isinstance(body, str)
    prefix: Any = BOUND if is_text else BOUND.encode()
    expected = binding(headers)
    if body.startswith(prefix + (expected if is_text else expected.encode()), start):
        return None
    if body.startswith(prefix, start):
        rest = body[start + len(prefix) : start + len(prefix) + _LONGEST]
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
        f"The message was signed for another {' and '.join(names) or 'message'}. Someone with "
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
