"""Decoded bodies: the lazy arguments of a call, or the value of a result."""

from __future__ import annotations

from typing import Any

from ..results.instances import decode_result
from ..serializers.content import EncodedCall, EncodedResult
from ..serializers.frame import EMPTY_EMBED
from .arguments import LazyArgs, LazyKwargs
from .embed import LazyEmbed


def decoded(content: Any) -> Any:
    """Return what Celery gets for the content of a body. A call does not run a query here.

    Raises ``InvalidMessage`` for a result that cannot be read.
    """
    if type(content) is EncodedCall:
        call = content.call
        arguments = LazyArgs(call), LazyKwargs(call)
        if content.is_eager:
            return arguments
        # Celery's consumer unpacks three parts; in eager mode Celery unpacks two.
        return *arguments, LazyEmbed(call) if content.has_embed else {**EMPTY_EMBED}
    if type(content) is EncodedResult:
        frame = content.frame
        return decode_result(content.decoder, frame.result, frame.wire, frame.mark)
    return content
