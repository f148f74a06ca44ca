"""The header line of a body: one line of JSON with the references, and the lengths of the blobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from ..exceptions import InvalidMessage, UnknownVersion
from ..rows.reference import ModelReference, Reference
from .frame import Frame
from .nesting import is_too_deep
from .tables import MARK, Table

VERSION: Final = 1

#: How the header line begins of a body that says what it is for.
BOUND: Final = f'{{"cereal":{VERSION},"for":'

_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_json_name: Final = lru_cache(maxsize=1000)(_json)  # of labels and aliases, which are few
_decode_first: Final = json.JSONDecoder().raw_decode


def header_line(
    table: Table,
    blobs: Sequence[Any],
    *,
    fetch: int,
    is_call: bool,
    is_eager: bool = False,
    has_this: bool = False,
    binding: str = "",
) -> str:
    """Return the header line of a body, without its newline.

    ``fetch`` is the number of references in the arguments. With ``has_this`` the first
    reference of the table is ``self``. ``binding`` is the JSON of what the body is for.
    """
    # Concatenated, because nearly all of it is numbers: a JSON encoder takes three times as long.
    line = f"{BOUND}{binding}" if binding else f'{{"cereal":{VERSION}'
    if table.places:
        line += f',"refs":[{",".join(map(_json_reference, table.places))}]'
    if is_eager:
        line += ',"eager":1'
    if has_this:
        line += ',"this":0'
    line += f',"{"call" if is_call else "result"}":{len(blobs[0])}'
    if len(blobs) > 1:
        line += f',"embed":{len(blobs[1])}'
    if is_call and fetch != len(table.places):
        line += f',"fetch":{fetch}'
    if table.mark != MARK:
        line += f',"mark":{_json(table.mark)}'
    return line + "}"


def header_line_for(line: str, binding: str) -> str:
    """Return a header line whose body is for another message, of which ``binding`` is the JSON."""
    if not line.startswith(BOUND):
        return line
    _, end = _decode_first(line, len(BOUND))
    return f"{BOUND}{binding}{line[end:]}"


def _json_reference(reference: Reference) -> str:
    if isinstance(reference, ModelReference) and type(reference.pk) is int:
        return f"[{_json_name(reference.label)},{reference.pk},{_json_name(reference.using)}]"
    return _json(reference.as_wire())


def frame_of(line: str, blobs: Any, name: str) -> Frame:
    """Return the frame of a body of the serializer ``name``, from its header line and its blobs.

    Raises ``UnknownVersion`` if a newer release wrote it, otherwise ``InvalidMessage`` if the
    line is not a header, contradicts itself or does not fit the blobs.
    """
    try:
        header, end = _decode_first(line)
    except (ValueError, RecursionError):
        header, end = None, 0
    if (
        type(header) is not dict
        or "cereal" not in header
        or end != len(line)
        or is_too_deep(line, header)
    ):
        raise InvalidMessage(
            f"The message is not a {name} body, or it is truncated: it has no header."
        )
    if header["cereal"] != VERSION:
        raise _unknown_version(header["cereal"], name)
    wire, mark = header.get("refs", []), header.get("mark", MARK)
    if type(wire) is not list or type(mark) is not str:
        raise _contradiction(name)
    fetch, this = header.get("fetch", len(wire)), header.get("this")
    if type(fetch) is not int or not 0 <= fetch <= len(wire):
        raise _contradiction(name)
    if this is not None and (type(this) is not int or not 0 <= this < fetch):
        raise _contradiction(name)
    is_call, has_embed = "call" in header, "embed" in header
    if is_call == ("result" in header) or (has_embed and not is_call):
        raise _contradiction(name)
    first, second = header["call" if is_call else "result"], header.get("embed", 0)
    if type(first) is not int or type(second) is not int or first < 0 or second < 0:
        raise _contradiction(name)
    if len(blobs) != first + second:
        raise InvalidMessage(
            "The message is damaged: its body is shorter or longer than its header says."
        )
    if not is_call:
        return Frame(result=blobs, wire=wire, mark=mark, fetch=fetch)
    embed = blobs[first:] if has_embed else None
    return Frame(blobs[:first], embed, None, wire, mark, fetch, this)


def _unknown_version(version: Any, name: str) -> UnknownVersion:
    # Any other value is the sender's, and does not belong in logs.
    if type(version) is not int or not 0 <= version < 1_000_000:
        version = None
    return UnknownVersion(
        f"The message has version {version} of the {name} format, and this process reads version "
        f"{VERSION}. Deploy the workers before the senders.",
        version,
    )


def _contradiction(name: str) -> InvalidMessage:
    return InvalidMessage(f"The header of a {name} message contradicts itself.")
