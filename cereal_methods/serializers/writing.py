"""Writing bodies: with a header line, or without references as kombu's serializer does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celery import current_app
from django.db import models

from .. import conf
from ..exceptions import CerealError, EncodingFailed, SerializerNotAccepted, UnsupportedValue
from ..rows.container import ArgumentContainer
from ..rows.reference import THIS, ModelReference, QuerySetReference, Reference
from ..rows.wire import reference_from_plain
from .acceptance import check_accepted
from .binding import binding as binding_for
from .binding import binding_of
from .frame import EMPTY_EMBED
from .header import header_line
from .signing import with_signature
from .tables import MARK, PLAIN_CALL, PLAIN_RESULT, REFERENCED, ReferenceFound, Table, have_rows

if TYPE_CHECKING:
    from .body import BodyFormat

_EMBED_KEYS: Final = EMPTY_EMBED.keys()

#: Takes the place of the row in a table until there is one.
_NO_ROW: Final = ModelReference("", 0, "")


def dumps(body_format: BodyFormat, body: Any, name: str) -> Any:
    """Return the encoded body of a message or a result. See ``BodyFormat.dumps``."""
    try:
        call = _as_call(body)
        if call is None:
            return _dumps_result(body_format, body)
        check_accepted(name)
        if _signs(body_format):
            return _dumps_call(body_format, *call, binding=binding_of(call), is_signed=True)
        return _dumps_call(body_format, *call)
    except SerializerNotAccepted:
        raise
    except CerealError as error:
        raise EncodingFailed(error, error.about) from error


def _signs(body_format: BodyFormat) -> bool:
    """Whether the bodies of calls are signed now."""
    return bool(body_format.is_signed or conf.get("SIGN_ALL") or conf.get("REQUIRE_SIGNED"))


def _dumps_call(
    body_format: BodyFormat,
    args: Any,
    kwargs: Any,
    *embeds: Any,
    binding: str = "",
    is_signed: bool = False,
) -> Any:
    # The message of a retry has the containers that came in the first message.
    if type(args) is not tuple and isinstance(args, ArgumentContainer):
        args = args.with_references()
    if type(kwargs) is not dict and isinstance(kwargs, ArgumentContainer):
        kwargs = kwargs.with_references()
    this = _own_reference(kwargs[THIS]) if kwargs and THIS in kwargs else None
    if this is not None:
        kwargs = {key: value for key, value in kwargs.items() if key != THIS}
    elif not is_signed and not have_rows(args, kwargs):
        try:
            return _encode(body_format, (args, kwargs, *embeds), PLAIN_CALL)
        except ReferenceFound:
            pass
    values = [(tuple(args or ()), kwargs or {})]
    if embeds and any(embeds[0].values()):
        values += embeds
    return dump_with_header(
        body_format, values, this, is_eager=not embeds, binding=binding, is_signed=is_signed
    )


def row_body_writer(
    body_format: BodyFormat, args: Any, kwargs: Any, embed: Any, name: str
) -> Callable[[Reference, Mapping[str, Any]], Any] | None:
    """Return a function that returns the body of a call on a row, as ``dumps`` would.

    It takes the row and the headers of the message. The arguments are encoded once, and the row is
    the header line's. None if the arguments name rows too, whose positions would depend on the row.
    """
    check_accepted(name)
    table = Table()
    table.add(_NO_ROW)
    values = [(tuple(args or ()), {key: value for key, value in kwargs.items() if key != THIS})]
    if embed and any(embed.values()):
        values.append(embed)
    blobs = [_encode(body_format, value, table) for value in values]
    if len(table.places) > 1 or body_format.is_ambiguous(blobs, table):
        return None

    is_signed = _signs(body_format)

    def write(row: Reference, headers: Mapping[str, Any]) -> Any:
        table.places = {row: 0}
        bound = binding_for(headers) if is_signed else ""
        line = header_line(table, blobs, fetch=1, is_call=True, has_this=True, binding=bound)
        return _sealed(body_format, line, blobs, is_signed=is_signed)

    return write


def _dumps_result(body_format: BodyFormat, body: Any) -> Any:
    result = body
    if type(body) is dict:
        body = _without_containers(body)
        result = body.get("result")
    if not body_format.is_signed and not isinstance(result, REFERENCED):
        try:
            return _encode(body_format, body, PLAIN_RESULT)
        except ReferenceFound:
            pass
    return dump_with_header(body_format, [body], is_call=False)


def dump_with_header(
    body_format: BodyFormat,
    values: Sequence[Any],
    this: Reference | None = None,
    *,
    is_call: bool = True,
    is_eager: bool = False,
    binding: str = "",
    is_signed: bool = False,
) -> Any:
    """Return the body of a call's arguments and embed, or of a result, with a header line.

    ``this`` is the reference of ``self``, ``binding`` the JSON of what the body is for. Raises
    what ``BodyFormat.encode`` raises.
    """
    mark = MARK
    while True:
        table = Table(mark, is_call=is_call)
        if this is not None:
            table.add(this)
        blobs = [_encode(body_format, values[0], table)]
        fetch = len(table.places)
        blobs += [_encode(body_format, value, table) for value in values[1:]]
        if not body_format.is_ambiguous(blobs, table):
            break
        mark = f"${mark}"
    line = header_line(
        table,
        blobs,
        fetch=fetch,
        is_call=is_call,
        is_eager=is_eager,
        has_this=this is not None,
        binding=binding,
    )
    return _sealed(body_format, line, blobs, is_signed=is_signed)


def _sealed(body_format: BodyFormat, line: str, blobs: Sequence[Any], *, is_signed: bool) -> Any:
    if is_signed and not body_format.is_signed:
        line = with_signature(body_format.name, line, as_bytes(blobs))
    return body_format.seal(line, blobs)


def as_bytes(blobs: Sequence[Any]) -> bytes:
    """Return blobs of text or bytes as the bytes that a signature covers."""
    return b"".join(
        blob.encode("utf-8", "surrogatepass") if isinstance(blob, str) else blob for blob in blobs
    )


def _encode(body_format: BodyFormat, value: Any, table: Table) -> Any:
    try:
        return body_format.encode(value, table)
    except RecursionError:
        raise UnsupportedValue(
            f"{body_format.name} cannot carry data that is nested this deeply, or that contains "
            "itself."
        ) from None


def _as_call(body: Any) -> tuple[Any, ...] | None:
    """Return args, kwargs and embed if ``body`` is that of a call; in eager mode without embed."""
    if isinstance(body, tuple):
        if len(body) == 3 and isinstance(body[2], dict) and body[2].keys() == _EMBED_KEYS:
            return body
        # In eager mode apply_async sends args and kwargs alone through the serializer.
        if len(body) == 2 and current_app.conf.task_always_eager and _is_eager_call(*body):
            return body
    if isinstance(body, dict) and body.keys() >= {"task", "id", "args", "kwargs"}:
        raise UnsupportedValue(
            "Message protocol 1 cannot be sent with a cereal serializer. Remove "
            "CELERY_TASK_PROTOCOL from the settings: protocol 2 is Celery's default."
        )
    return None


def _is_eager_call(args: Any, kwargs: Any) -> bool:
    return (args is None or isinstance(args, (tuple, list))) and (
        kwargs is None or isinstance(kwargs, Mapping)
    )


def _own_reference(this: Any) -> Reference | None:
    """Return the reference of ``self`` as a caller passes it, or None if it is not a row."""
    if isinstance(this, models.Model):
        return ModelReference.of(this)
    if isinstance(this, (ModelReference, QuerySetReference)):
        return this
    return reference_from_plain(this)


def _without_containers(record: dict[str, Any]) -> dict[str, Any]:
    """Return a result backend's record, with the args and kwargs of ``result_extended`` as JSON.

    An encoder in C may read a container without calling its methods.
    """
    args, kwargs = record.get("args"), record.get("kwargs")
    if isinstance(args, ArgumentContainer):
        record = {**record, "args": args.for_json()}
    if isinstance(kwargs, ArgumentContainer):
        record = {**record, "kwargs": kwargs.for_json()}
    return record
