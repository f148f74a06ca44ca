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
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, ClassVar, Final

from celery import current_app
from celery._state import _get_active_apps, get_current_app  # type: ignore[attr-defined]
from django.core.signals import setting_changed
from django.db import models
from kombu.serialization import (  # type: ignore[attr-defined]
    prepare_accept_content,
    registry,
)

from ..arguments import NO_EMBED, THIS, Call, Frame, LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import (
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

_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_name: Final = lru_cache(maxsize=1000)(_json)  # labels and aliases, of which there are few
_load_first: Final = json.JSONDecoder().raw_decode

#: Set where a worker decodes a message: a body of another kind is then refused unread.
call_expected: Final[ContextVar[bool]] = ContextVar("call_expected", default=False)

#: A header with more brackets than this may be nested too deep to be read.
_FLAT: Final = 200
#: How deep lists can be in a header's references: the keys of rows, each with many parts.
_DEPTH: Final = 4

_EMBED_KEYS: Final = NO_EMBED.keys()

# How a header ends, and how it says what it heads: in a string of JSON the quotes would
# be escaped.
_TEXT: Final[Any] = ("\n", '"call":', '"embed":', '"eager":')
_BYTES: Final[Any] = (b"\n", b'"call":', b'"embed":', b'"eager":')


def row_at(rows: Sequence[Any], place: Any) -> Any:
    """Return the row of the reference that a blob names by its place."""
    if type(place) is not int or not 0 <= place < len(rows):
        raise InvalidMessage("The message names a reference that it does not hold.")
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

        Raises ``UnsavedInstance``, ``UnsupportedValue`` for what the format cannot
        carry, ``SerializerNotAccepted`` if no app of this process would accept it.
        """
        call = _as_call(body)
        if call is None:
            return self._dump([body], is_call=False)
        check_accepted(name)
        args, kwargs, *embeds = call
        if isinstance(kwargs, LazyKwargs):  # a retry sends the references that came
            kwargs = kwargs.plainly(references=True)
        this = kwargs.get(THIS)
        if isinstance(this, models.Model):
            this = ModelReference.of(this)
        elif not isinstance(this, (ModelReference, QuerySetReference)):
            this = from_plain(this)
        if this is not None:
            kwargs = {key: value for key, value in kwargs.items() if key != THIS}
        values = [(tuple(args), kwargs)]
        if embeds and any(embeds[0].values()):
            values += embeds
        return self._dump(values, this, is_eager=not embeds)

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
            try:
                blobs = [self.encode(values[0], table)]
                fetch = len(table.places)
                blobs += [self.encode(value, table) for value in values[1:]]
            except RecursionError:
                raise UnsupportedValue(
                    f"{self.name} cannot carry data that is nested this deeply, or that "
                    "contains itself."
                ) from None
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

        Runs no query. Of a call nothing but its first line is looked at, and that for
        being one: what cannot be read raises ``InvalidMessage`` when the task unpacks its
        arguments. The failure is then recorded, where an exception here would lose the
        message without a trace.
        """
        body = data if isinstance(data, (str, bytes)) else bytes(data)
        newline, says_call, says_embed, says_eager = _TEXT if isinstance(body, str) else _BYTES
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

    def read(self, body: Any) -> Frame:
        """Return the parts of a body, verified and not yet decoded.

        Raises ``InvalidMessage`` if it is damaged, forged, or of another version.
        """
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
        if type(header) is not dict or "cereal" not in header or _is_too_deep(text, header):
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
            return body[0] or (), body[1] or {}
    if isinstance(body, dict) and body.keys() >= {"task", "id", "args", "kwargs"}:
        raise UnsupportedValue(
            "Message protocol 1 cannot be sent with a cereal serializer. Remove "
            "CELERY_TASK_PROTOCOL from the settings: protocol 2 is Celery's default."
        )
    return None


def _is_too_deep(line: str, header: dict[str, Any]) -> bool:
    """Tell whether a header's references are nested as those of no sender are."""
    if len(line) <= _FLAT:
        return False
    brackets = line.count("[") + line.count("{")
    return brackets > _FLAT and _goes_below(header.get("refs"), _DEPTH)


def _goes_below(value: Any, levels: int) -> bool:
    if type(value) is dict:
        return any(type(item) in (list, dict) for item in value.values())
    return type(value) is list and (
        levels == 0
        or any(_goes_below(item, levels - 1) for item in value if type(item) in (list, dict))
    )


def _is_eager(args: Any, kwargs: Any) -> bool:
    return (args is None or isinstance(args, (tuple, list))) and (
        kwargs is None or isinstance(kwargs, Mapping)
    )


def check_accepted(name: str) -> None:
    """Raise ``SerializerNotAccepted`` if no app of this process takes a serializer's messages."""
    conf = get_current_app().conf
    if _accepting.get(name) is conf:
        return
    content_type = registry.name_to_type.get(name, name)
    apps = list(_get_active_apps()) or [current_app]
    if not any(content_type in _accepted(app) for app in apps):
        accepted = [*apps[0].conf.accept_content, name]
        if all(app.main == "default" for app in apps):  # what Celery makes where there is none
            raise SerializerNotAccepted(
                f"No Celery app is loaded here, so nothing can be sent with {name!r}. Import the "
                "project's in the __init__.py beside its celery.py, so that it comes with Django: "
                "from .celery import app",
                name,
            )
        raise SerializerNotAccepted(
            f"Workers would drop this message: accept_content lacks {name!r}. Add to Django's "
            f"settings: CELERY_ACCEPT_CONTENT = {accepted!r}",
            name,
        )
    _accepting[name] = conf


# By serializer, the configuration in which it was last found to be accepted: looking that
# up takes longer than encoding a message.
_accepting: Final[dict[str, Any]] = {}
setting_changed.connect(lambda **kwargs: _accepting.clear(), weak=False)


def check_foreign(name: str) -> None:
    """Do what ``check_accepted`` does for serializers that do not do so by themselves."""
    if not name.startswith("cereal-"):
        check_accepted(name)


def _accepted(app: Any) -> Any:
    return prepare_accept_content(app.conf.accept_content)
