"""Bodies without a header line, as kombu's own serializers write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..exceptions import CerealError, InvalidMessage
from .frame import INTERRUPTS, unreadable_error
from .writing import dump_with_header

if TYPE_CHECKING:
    from .body import BodyFormat


def value_of(body_format: BodyFormat, body: Any) -> Any:
    """Return the value of a plain body. Raises ``InvalidMessage`` if it cannot be read."""
    try:
        return body_format.decode_plain(body_format.open(body))
    except INTERRUPTS:
        raise
    except UnicodeDecodeError:
        raise InvalidMessage(f"The message is not a {body_format.name} body.") from None
    except Exception as error:
        raise unreadable_error("body", body_format, error) from None


def is_call(value: Any) -> bool:
    """Whether the value of a plain body is ``[args, kwargs, embed]``."""
    return (
        type(value) is list
        and len(value) == 3
        and type(value[0]) is list
        and type(value[1]) is dict
        and (value[2] is None or type(value[2]) is dict)
    )


def with_header(body_format: BodyFormat, args: Any, kwargs: Any, embed: Any) -> Any:
    """Return the body of a call with a header line. Raises ``InvalidMessage`` if it cannot be."""
    values = [(args, kwargs), *([embed] if embed and any(embed.values()) else [])]
    try:
        return dump_with_header(body_format, values)
    except CerealError as error:
        raise unreadable_error("body", body_format, error) from None
