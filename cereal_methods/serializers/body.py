"""Message bodies: what the four formats have in common.

A body is a header of one line of JSON, the encoded arguments and the encoded
embed, or the encoded result::

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
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from celery import current_app
from celery._state import _get_active_apps  # type: ignore[attr-defined]
from kombu.serialization import (  # type: ignore[attr-defined]
    prepare_accept_content,
    registry,
)

from ..arguments import NO_EMBED, THIS, Call, LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import (
    CerealError,
    InvalidMessage,
    SerializerNotAccepted,
    UnknownVersion,
    UnsupportedValue,
)
from ..references import ModelReference, QuerySetReference, Reference, from_plain
from ..results import decode_result

VERSION: Final = 1

#: The key of a reference in a blob of JSON, unless the arguments have it themselves.
MARK: Final = "$ref"

_dump_header: Final = json.JSONEncoder(separators=(",", ":")).encode
_EMBED_KEYS: Final = NO_EMBED.keys()
_LENGTHS: Final = ("call", "embed", "result")


def row_at(rows: Sequence[Any], place: Any) -> Any:
    """Return the row of the reference that a blob names by its place."""
    if type(place) is not int or place < 0:
        raise InvalidMessage(f"The message names a reference {place!r}, which is no place.")
    return rows[place]


def as_bytes(data: Any) -> bytes:
    """Return the bytes of a binary body, in whatever type a transport hands it over."""
    return data.encode("latin-1", "replace") if isinstance(data, str) else bytes(data)


class Table:
    """The references of a body that is being written, each one once."""

    def __init__(self, mark: str = MARK, *, is_call: bool = True) -> None:
        self.places: dict[Reference, int] = {}
        self.mark = mark
        self.is_call = is_call
        self.marks_written = 0

    def add(self, reference: Reference) -> int:
        """Return the place of a reference."""
        return self.places.setdefault(reference, len(self.places))


class BodyFormat:
    """A format of bodies; its subclasses say how a blob is written and read."""

    name: ClassVar[str]
    newline: ClassVar[Any] = b"\n"

    def encode(self, value: Any, table: Table) -> Any:
        """Return the blob of ``value``, its references entered in ``table``."""
        raise NotImplementedError

    def decode(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Return the value in ``blob``, with ``rows[i]`` in the place of reference ``i``."""
        raise NotImplementedError

    def peek(self, blob: Any, rows: Sequence[Any], mark: str) -> Any:
        """Return the value for display; must not import anything of the user's."""
        return self.decode(blob, rows, mark)

    def is_ambiguous(self, blobs: Sequence[Any], table: Table) -> bool:
        """Tell whether the user's data could be taken for references."""
        return False

    def seal(self, header: str, blobs: Sequence[Any]) -> Any:
        """Return the finished body."""
        return "".join((header, "\n", *blobs))

    def open(self, data: Any) -> Any:
        """Return the body that ``seal`` was given, as one piece."""
        return data if isinstance(data, str) else bytes(data).decode()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def dumps(self, body: Any, name: str) -> Any:
        """Return the encoded body of a message or a result.

        Raises ``UnsavedInstance``, ``UnsupportedValue`` for what the format cannot
        carry, ``SerializerNotAccepted`` if no app of this process would accept it.
        """
        call = _as_call(body)
        if call is None:
            return self._dump(lambda table: ([body], {}), is_call=False)
        check_accepted(name)
        args, kwargs, *embeds = call

        def parts(table: Table) -> tuple[list[Any], dict[str, Any]]:
            header: dict[str, Any] = {} if embeds else {"eager": 1}
            plain: Any = kwargs
            if isinstance(kwargs, LazyKwargs):  # a retry sends the references that came
                plain = kwargs.plainly(references=True)
            this = plain.get(THIS)
            reference = from_plain(this)
            if reference is None and isinstance(this, (ModelReference, QuerySetReference)):
                reference = this
            if reference is not None:
                header["this"] = table.add(reference)
                plain = {key: value for key, value in plain.items() if key != THIS}
            embedded = embeds and any(embeds[0].values())
            return [(tuple(args), plain), *(embeds if embedded else ())], header

        return self._dump(parts, is_call=True)

    def _dump(self, parts: Any, *, is_call: bool) -> Any:
        mark = MARK
        while True:
            table = Table(mark, is_call=is_call)
            values, header = parts(table)
            try:
                blobs = [self.encode(values[0], table)]
                fetch = len(table.places)
                blobs.extend(self.encode(value, table) for value in values[1:])
            except RecursionError:
                raise UnsupportedValue(
                    f"{self.name} cannot carry data that is nested this deeply, or that "
                    "contains itself."
                ) from None
            if not self.is_ambiguous(blobs, table):
                break
            mark = f"${mark}"
        header.update(zip(_LENGTHS if is_call else ("result",), map(len, blobs), strict=False))
        if is_call and fetch != len(table.places):
            header["fetch"] = fetch
        if mark != MARK:
            header["mark"] = mark
        refs = [reference.as_wire() for reference in table.places]
        return self.seal(
            _dump_header({"cereal": VERSION, **({"refs": refs} if refs else {}), **header}), blobs
        )

    def loads(self, data: Any) -> Any:
        """Return the body: of a call ``(args, kwargs, embed)``, of a result its value.

        Runs no query. A body of a call that cannot be read gives arguments that
        raise ``InvalidMessage`` when the task unpacks them: the failure is then
        recorded, where an exception here would lose the message without a trace.
        """
        frame = data
        try:
            frame = self.open(data)
            error: CerealError | None = None
        except CerealError as exc:
            error = exc
            frame = self.without_seal(data)
        except UnicodeDecodeError:
            raise InvalidMessage(f"The message is not a {self.name} body.") from None
        try:
            header, rest = self._split(frame)
        except CerealError as exc:
            raise error or exc from None
        error = error or self._contradiction(header)
        wire, mark = header.get("refs", []), header.get("mark", MARK)
        size = header.get("call")
        if error is None and len(rest) != sum(header.get(part, 0) for part in _LENGTHS):
            error = InvalidMessage(
                "The message is damaged: its body is shorter or longer than its header says."
            )
        if size is None:
            if error is not None:
                raise error
            return decode_result(self, rest, wire, mark)
        embed: Mapping[str, Any] = NO_EMBED
        if error is not None:
            call = Call(self, rest[:0], [], mark, 0, None, error)
        else:
            fetch = header.get("fetch", len(wire))
            call = Call(self, rest[:size], wire, mark, fetch, header.get("this"))
            if len(rest) > size:
                embed = LazyEmbed(call, rest[size:])
        # Where tasks do not run eagerly, a worker's consumer depends on the three.
        if header.get("eager") and error is None and current_app.conf.task_always_eager:
            return LazyArgs(call), LazyKwargs(call)
        return LazyArgs(call), LazyKwargs(call), embed

    def without_seal(self, data: Any) -> Any:
        """Return the part of an invalid body that may tell a call from a result."""
        return data

    def _split(self, frame: Any) -> tuple[dict[str, Any], Any]:
        """Return the header and what follows it."""
        line, newline, rest = frame.partition(self.newline)
        try:
            header = json.loads(line) if newline else None
        except (ValueError, RecursionError):
            header = None
        if not isinstance(header, dict) or "cereal" not in header:
            raise InvalidMessage(
                f"The message is not a {self.name} body, or it is truncated: it has no header."
            )
        return header, rest

    def _contradiction(self, header: dict[str, Any]) -> CerealError | None:
        """Return what keeps a body with this header from being read, if anything."""
        if header["cereal"] != VERSION:
            return UnknownVersion(
                f"The message has version {header['cereal']!r} of the {self.name} format and "
                f"this process knows version {VERSION}. Deploy workers before what sends to them.",
                header["cereal"],
            )
        refs = header.get("refs", [])
        lengths = [header[part] for part in _LENGTHS if part in header]
        counts = [*lengths, header.get("fetch", 0), header.get("this", 0)]
        if (
            not isinstance(refs, list)
            or not all(type(count) is int and count >= 0 for count in counts)
            or counts[-2] > len(refs)
            or ("this" in header and counts[-1] >= header.get("fetch", len(refs)))
            or ("call" in header) == ("result" in header)
            or ("embed" in header and "call" not in header)
            or not isinstance(header.get("mark", ""), str)
        ):
            return InvalidMessage(f"The header of a {self.name} message contradicts itself.")
        return None


def _as_call(body: Any) -> tuple[Any, ...] | None:
    """Return args, kwargs and embed if ``body`` is the message of a call."""
    if isinstance(body, tuple):
        if len(body) == 3 and isinstance(body[2], dict) and body[2].keys() == _EMBED_KEYS:
            return body
        # What apply_async sends through the serializer when tasks run eagerly:
        # args and kwargs alone, as they were given.
        if len(body) == 2 and current_app.conf.task_always_eager and _is_eager(*body):
            return body[0] or (), body[1] or {}
    if isinstance(body, dict) and body.keys() >= {"task", "id", "args", "kwargs"}:
        raise UnsupportedValue(
            "Message protocol 1 cannot be sent with a cereal serializer. Remove "
            "CELERY_TASK_PROTOCOL from the settings: protocol 2 is Celery's default."
        )
    return None


def _is_eager(args: Any, kwargs: Any) -> bool:
    return (args is None or isinstance(args, (tuple, list))) and (
        kwargs is None or isinstance(kwargs, Mapping)
    )


def check_accepted(name: str) -> None:
    """Raise ``SerializerNotAccepted`` if no app of this process takes a serializer's messages."""
    content_type = registry.name_to_type.get(name, name)
    apps = list(_get_active_apps()) or [current_app]
    if not any(content_type in _accepted(app) for app in apps):
        accepted = [*apps[0].conf.accept_content, name]
        raise SerializerNotAccepted(
            f"Workers would drop this message: accept_content lacks {name!r}. Add to Django's "
            f"settings: CELERY_ACCEPT_CONTENT = {accepted!r}",
            name,
        )


def check_foreign(name: str) -> None:
    """Do what ``check_accepted`` does for serializers that do not do so by themselves."""
    if not name.startswith("cereal-"):
        check_accepted(name)


def _accepted(app: Any) -> Any:
    return prepare_accept_content(app.conf.accept_content)
