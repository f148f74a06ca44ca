"""What a body holds: a call or a result, not yet decoded."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .call import Call
    from .frame import Decoder, Frame

#: True while a worker decodes a message. A body that is not a call is then refused.
call_expected: Final[ContextVar[bool]] = ContextVar("call_expected", default=False)


@dataclass(slots=True)
class EncodedCall:
    """The body of a task's message.

    ``has_embed`` tells whether signatures are embedded, ``is_eager`` whether Celery runs tasks
    eagerly and therefore expects only args and kwargs.
    """

    call: Call
    has_embed: bool = False
    is_eager: bool = False


@dataclass(slots=True)
class EncodedResult:
    """The body of a result that holds references."""

    decoder: Decoder
    frame: Frame
