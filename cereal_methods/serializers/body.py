"""Message bodies: what the four formats have in common.

A body without references is what kombu's own serializer of the format writes, byte
for byte, and any such body is read: other languages, monitors and results stored
before the serializer was changed need to know nothing of this library. Signed bodies
are the exception: they always have the header below.

A body with references is a header of one line of JSON, the encoded arguments and the
encoded embed, or the encoded result::

    {"cereal":1,"refs":[["shop.Order",5,"default"]],"call":13,"this":0}
    [["dhl"],{}]

``cereal``  the version of this layout.
``refs``    the references, each written once. The blobs name them by place.
``call``    the length of the arguments' blob, in bytes, or in characters of text.
``embed``   the length of the embed's blob, which follows if anything is embedded.
``result``  the length of a result's blob, in the place of the two.
``fetch``   how many references belong to the arguments, if not all.
``this``    the place of ``self`` among the references, if it is one.
``mark``    the key of a reference in the blobs of ``cereal-json``, if not the usual.

A blob is decoded only when it is needed, in the task's own ``try``.

Kombu's serializers never write a body that begins like a header, ``{"cereal":`` and a
digit: its JSON has a space after a colon, its YAML quotes such a string, and in
MessagePack ``{`` is the number 123, which nothing can follow. Old bodies have a header
without references; they are read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, ClassVar, Final

from celery import current_app
from django.db import models

from ..arguments import LazyArgs, LazyEmbed, LazyKwargs
from ..calls import INTERRUPTS, NO_EMBED, Call, Frame, unreadable
from ..exceptions import (
    CerealError,
    EncodingFailed,
    InvalidMessage,
    SerializerNotAccepted,
    UnknownVersion,
    UnsupportedValue,
)
from ..references import (
    THIS,
    ModelReference,
    QuerySetReference,
    Reference,
    from_plain,
)
from ..results import decode_result
from .acceptance import check_accepted, check_foreign
from .nesting import DEEPEST, is_deep, is_too_deep
from .tables import MARK, PLAIN_CALL, PLAIN_RESULT, REFERENCED, ReferenceFound, Table, have_rows

VERSION: Final = 1

_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_name: Final = lru_cache(maxsize=1000)(_json)  # labels and aliases, of which there are few
_load_first: Final = json.JSONDecoder().raw_decode

#: Set where a worker decodes a message: a body of another kind is then refused unread.
call_expected: Final[ContextVar[bool]] = ContextVar("call_expected", default=False)

_EMBED_KEYS: Final = NO_EMBED.keys()

# How a header begins and ends, and how it says what it heads: in a string of JSON the
# quotes would be escaped.
_TEXT: Final[Any] = ('{"cereal":', "\n", '"call":', '"embed":', '"eager":')
_BYTES: Final[Any] = tuple(text.encode() for text in _TEXT)

__all__ = ["check_accepted", "check_foreign"]


def row_at(rows: Sequence[Any], place: Any) -> Any:
    """Return the row of the reference that a blob names by its place."""
    if type(place) is not int or not 0 <= place < len(rows):
        raise InvalidMessage("The message names a reference that it does not hold.")
    return rows[place]


def as_bytes(data: Any) -> bytes:
    """Return the bytes of a binary body, in whatever type a transport hands it over."""
    return data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)


class BodyFormat:
    """A format of bodies; its subclasses say how a blob is written and read."""

    name: ClassVar[str]
    is_signed: ClassVar[bool] = False
    newline: ClassVar[Any] = b"\n"
    #: How many bytes come before the header.
    sealed: ClassVar[int] = 0

    def encode(self, value: Any, table: Table) -> Any:
        """Return the blob of ``value``, its references entered in ``table``."""
        raise NotImplementedError

    def decode(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Return the value in ``blob``, with ``rows[i]`` in the place of reference ``i``."""
        raise NotImplementedError

    def peek(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Return the value for display; must not import anything of the user's."""
        return self.decode(blob, rows, mark)

    def has_header(self, body: Any, beginning: Any) -> bool:
        """Tell whether a body has a header, and is not kombu's own."""
        # The digit tells it from {"cereal": 1} as kombu's json writes it.
        return bool(body.startswith(beginning) and body[10:11].isdigit())

    def decode_plain(self, body: Any) -> Any:
        """Return the value of a body without a header, as kombu's own serializer does."""
        raise NotImplementedError

    def containers(self, body: Any) -> int:
        """Return how many lists and dicts a body without a header has at most."""
        raise NotImplementedError

    def begins_call(self, body: Any) -> bool:
        """Tell whether a body without a header that cannot be read was that of a call."""
        raise NotImplementedError

    def is_ambiguous(self, blobs: Sequence[Any], table: Table) -> bool:
        """Tell whether the user's data could be taken for references."""
        return False

    def seal(self, header: str, blobs: Sequence[Any]) -> Any:
        """Return the finished body."""
        return "".join((header, "\n", *blobs))

    def open(self, data: Any) -> Any:
        """Return the body that ``seal`` was given, as one piece."""
        return data if isinstance(data, str) else bytes(data).decode()

    def __reduce__(self) -> str:
        return "FORMAT"

    def dumps(self, body: Any, name: str) -> Any:
        """Return the encoded body of a message or a result.

        Raises ``SerializerNotAccepted`` if no app of this process would accept it, and
        ``EncodingFailed`` with an ``UnsavedInstance``, ``UnsupportedKey`` or
        ``UnsupportedValue`` as its cause for what the format cannot carry.
        """
        try:
            return self._dumps(body, name)
        except SerializerNotAccepted:
            raise
        except CerealError as error:
            raise EncodingFailed(error, error.about) from error

    def _dumps(self, body: Any, name: str) -> Any:
        call = _as_call(body)
        if call is None:
            result = body
            if type(body) is dict:
                body = _shown(body)
                result = body.get("result")
            if not self.is_signed and not isinstance(result, REFERENCED):
                try:
                    return self._encode(body, PLAIN_RESULT)
                except ReferenceFound:  # what comes before the first is encoded once more
                    pass
            return self._dump([body], is_call=False)

        check_accepted(name)
        args, kwargs, *embeds = call
        # A retry sends the references that came.
        if type(args) is not tuple and isinstance(args, LazyArgs):
            args = args.plainly(references=True)
        if type(kwargs) is not dict and isinstance(kwargs, LazyKwargs):
            kwargs = kwargs.plainly(references=True)
        this = _own_reference(kwargs[THIS]) if kwargs and THIS in kwargs else None
        if this is not None:
            kwargs = {key: value for key, value in kwargs.items() if key != THIS}
        elif not self.is_signed and not have_rows(args, kwargs):
            try:
                return self._encode((args, kwargs, *embeds), PLAIN_CALL)
            except ReferenceFound:
                pass
        values = [(tuple(args or ()), kwargs or {})]
        if embeds and any(embeds[0].values()):
            values += embeds
        return self._dump(values, this, is_eager=not embeds)

    def _encode(self, value: Any, table: Table) -> Any:
        try:
            return self.encode(value, table)
        except RecursionError:
            raise UnsupportedValue(
                f"{self.name} cannot carry data that is nested this deeply, or that contains "
                "itself."
            ) from None

    def _dump(
        self,
        values: Sequence[Any],
        this: Reference | None = None,
        *,
        is_call: bool = True,
        is_eager: bool = False,
    ) -> Any:
        mark = MARK
        while True:
            table = Table(mark, is_call=is_call)
            if this is not None:
                table.add(this)
            blobs = [self._encode(values[0], table)]
            fetch = len(table.places)
            blobs += [self._encode(value, table) for value in values[1:]]
            if not self.is_ambiguous(blobs, table):
                break
            mark = f"${mark}"
        # By hand, as nearly all of it is numbers: an encoder takes three times as long.
        header = f'{{"cereal":{VERSION}'
        if table.places:
            header += f',"refs":[{",".join(map(_as_json, table.places))}]'
        if is_eager:
            header += ',"eager":1'
        if this is not None:
            header += ',"this":0'
        header += f',"{"call" if is_call else "result"}":{len(blobs[0])}'
        if len(blobs) > 1:
            header += f',"embed":{len(blobs[1])}'
        if is_call and fetch != len(table.places):
            header += f',"fetch":{fetch}'
        if mark != MARK:
            header += f',"mark":{_json(mark)}'
        return self.seal(header + "}", blobs)

    def loads(self, data: Any) -> Any:
        """Return the body: of a call ``(args, kwargs, embed)``, of a result its value.

        Runs no query. A body without a header is its value, whoever wrote it. Of a call with
        references only the header is inspected, to classify the body: what cannot be read
        raises ``InvalidMessage`` when the task unpacks its arguments. The failure is then
        recorded, where an exception here would lose the message without a trace.
        """
        body = data if isinstance(data, (str, bytes)) else bytes(data)
        words = _TEXT if isinstance(body, str) else _BYTES
        beginning, newline, says_call, says_embed, says_eager = words
        if not self.is_signed and not self.has_header(body, beginning):
            return self._load_plain(body)
        end = body.find(newline, self.sealed)
        header = body[self.sealed : end if end >= 0 else len(body)]
        if says_call not in header:
            frame = self.read(body)
            if call_expected.get():
                raise InvalidMessage("The message is a task's result, and not a call of a task.")
            return decode_result(self, frame.result, frame.wire, frame.mark)
        call = Call(self, body)
        # Where tasks do not run eagerly, a worker's consumer depends on the three.
        if says_eager in header and current_app.conf.task_always_eager:
            return LazyArgs(call), LazyKwargs(call)
        embed = LazyEmbed(call) if says_embed in header else {**NO_EMBED}
        return LazyArgs(call), LazyKwargs(call), embed

    def _load_plain(self, body: Any) -> Any:
        try:
            value = self._plain_value(body)
            if not call_expected.get():
                return value
            if not _is_call(value):
                raise InvalidMessage(
                    "The message is no call of a task: its body is something else."
                )
            if self.containers(body) <= DEEPEST or not is_deep(value):
                return value
            # A consumer pickles the arguments into its pool, and ends if they are too deep for
            # that. With a header they go there as bytes.
            return self.loads(self._headed(*value))
        except InvalidMessage as error:
            if not self.begins_call(body):
                raise
            call = Call(self, body, error)
            return LazyArgs(call), LazyKwargs(call), {**NO_EMBED}

    def _headed(self, args: Any, kwargs: Any, embed: Any) -> Any:
        values = [(args, kwargs), *([embed] if embed and any(embed.values()) else [])]
        try:
            return self._dump(values)
        except CerealError as error:
            raise unreadable("body", self, error) from None

    def _plain_value(self, body: Any) -> Any:
        try:
            return self.decode_plain(self.open(body))
        except INTERRUPTS:
            raise
        except UnicodeDecodeError:
            raise InvalidMessage(f"The message is not a {self.name} body.") from None
        except Exception as error:
            raise unreadable("body", self, error) from None

    def read(self, body: Any) -> Frame:
        """Return the parts of a body, verified and not yet decoded.

        Raises ``InvalidMessage`` if it is damaged, forged, or of another version.
        """
        beginning = _TEXT[0] if isinstance(body, str) else _BYTES[0]
        if not self.is_signed and not self.has_header(body, beginning):
            self._plain_value(body)  # the call is there because this fails
        try:
            line, newline, rest = self.open(body).partition(self.newline)
            text = line if isinstance(line, str) else line.decode()
            header, end = _load_first(text) if newline else (None, 0)
            if end != len(text):
                header = None
        except UnicodeDecodeError:
            raise InvalidMessage(f"The message is not a {self.name} body.") from None
        except (ValueError, RecursionError) as error:
            if isinstance(error, InvalidMessage):
                raise
            header = None
        if type(header) is not dict or "cereal" not in header or is_too_deep(text, header):
            raise InvalidMessage(
                f"The message is not a {self.name} body, or it is truncated: it has no header."
            )
        version = header["cereal"]
        if version != VERSION:
            # Whatever else stands there is the sender's, and not for logs.
            if type(version) is not int or not 0 <= version < 1_000_000:
                version = None
            raise UnknownVersion(
                f"The message has version {version} of the {self.name} format and this process "
                f"knows version {VERSION}. Deploy workers before what sends to them.",
                version,
            )
        wire, mark = header.get("refs", []), header.get("mark", MARK)
        if type(wire) is not list or type(mark) is not str:
            raise self._contradiction()
        fetch = header.get("fetch", len(wire))
        if type(fetch) is not int or not 0 <= fetch <= len(wire):
            raise self._contradiction()
        this = header.get("this")
        if this is not None and (type(this) is not int or not 0 <= this < fetch):
            raise self._contradiction()
        is_call, has_embed = "call" in header, "embed" in header
        if is_call == ("result" in header) or (has_embed and not is_call):
            raise self._contradiction()
        first = header["call" if is_call else "result"]
        second = header["embed"] if has_embed else 0
        if type(first) is not int or type(second) is not int or first < 0 or second < 0:
            raise self._contradiction()
        if len(rest) != first + second:
            raise InvalidMessage(
                "The message is damaged: its body is shorter or longer than its header says."
            )
        if not is_call:
            return Frame(result=rest, wire=wire, mark=mark, fetch=fetch)
        embed = rest[first:] if has_embed else None
        return Frame(rest[:first], embed, None, wire, mark, fetch, this)

    def _contradiction(self) -> InvalidMessage:
        return InvalidMessage(f"The header of a {self.name} message contradicts itself.")


def _as_json(reference: Reference) -> str:
    if isinstance(reference, ModelReference) and type(reference.pk) is int:
        return f"[{_name(reference.label)},{reference.pk},{_name(reference.using)}]"
    return _json(reference.as_wire())


def _as_call(body: Any) -> tuple[Any, ...] | None:
    """Return args, kwargs and embed if ``body`` is the message of a call."""
    if isinstance(body, tuple):
        if len(body) == 3 and isinstance(body[2], dict) and body[2].keys() == _EMBED_KEYS:
            return body
        # What apply_async sends through the serializer when tasks run eagerly:
        # args and kwargs alone, as they were given.
        if len(body) == 2 and current_app.conf.task_always_eager and _is_eager(*body):
            return body
    if isinstance(body, dict) and body.keys() >= {"task", "id", "args", "kwargs"}:
        raise UnsupportedValue(
            "Message protocol 1 cannot be sent with a cereal serializer. Remove "
            "CELERY_TASK_PROTOCOL from the settings: protocol 2 is Celery's default."
        )
    return None


def _is_call(value: Any) -> bool:
    """Tell whether the value of a plain body is ``[args, kwargs, embed]``."""
    return (
        type(value) is list
        and len(value) == 3
        and type(value[0]) is list
        and type(value[1]) is dict
        and (value[2] is None or type(value[2]) is dict)
    )


def _own_reference(this: Any) -> Reference | None:
    """Return the reference under which a call has ``self``, if it is one."""
    if isinstance(this, models.Model):
        return ModelReference.of(this)
    if isinstance(this, (ModelReference, QuerySetReference)):
        return this
    return from_plain(this)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """Return a backend's record with the text of the arguments that it tells (``result_extended``).

    An encoder that is written in C may read a list or a dict without asking for its items.
    """
    args, kwargs = record.get("args"), record.get("kwargs")
    if isinstance(args, LazyArgs):
        record = {**record, "args": args.plainly(references=False)}
    if isinstance(kwargs, LazyKwargs):
        record = {**record, "kwargs": kwargs.plainly(references=False)}
    return record


def _is_eager(args: Any, kwargs: Any) -> bool:
    return (args is None or isinstance(args, (tuple, list))) and (
        kwargs is None or isinstance(kwargs, Mapping)
    )
