"""The template of a bulk's messages, which differ only in their ids and rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from celery import uuid
from kombu.serialization import dumps

from ..celery_api.sending import is_sent_by_celery_alone
from ..entry_points import format_of
from ..results.messages import RECORD
from ..rows.reference import THIS, Reference
from ..serializers.binding import HEADERS, remember
from .messages import Message
from .querysets import row_of

if TYPE_CHECKING:
    from .inserting import NewRecord
    from .sending import PreparedTask, Sending

#: A function that returns the encoded body for a row and for the headers of its message.
_Encode = Callable[[Reference, Mapping[str, Any]], bytes]

_as_json: Final = json.JSONEncoder().encode


@dataclass(slots=True)
class _Marked:
    """The keys of a dict whose values are the mark of the id, or that of the text."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any], id_mark: str, text_mark: str) -> _Marked:
        """Return the marked keys of a template's dict."""
        return cls(
            tuple(name for name, value in values.items() if value == id_mark),
            tuple(name for name, value in values.items() if value == text_mark),
        )

    def filled(self, values: Mapping[str, Any], task_id: str, text: str) -> dict[str, Any]:
        """Return a copy of a template's dict with the id and the text of a row."""
        copy = dict(values)
        for name in self.ids:
            copy[name] = task_id
        for name in self.texts:
            copy[name] = text
        return copy


@dataclass(slots=True)
class Template:
    """A message and its record, with marks in the place of a row's id and text."""

    prepared: PreparedTask
    encode: _Encode
    #: The headers that a signed body is for, without the id.
    bound: dict[str, Any]
    id_mark: str
    text_mark: str
    #: The headers and the properties whose values are marks.
    headers: _Marked
    properties: _Marked

    @classmethod
    def of(cls, sending: Sending, sent: PreparedTask, reference: Reference) -> Template | None:
        """Return the template of a message that was sent for a row, or None.

        There is no template if code outside Celery takes part in sending, because it could treat
        two messages differently: a task class or an app with its own ``apply_async`` or
        ``send_task``, a receiver of Celery's signals, or a router that is a function.
        """
        if not is_sent_by_celery_alone(sending.task, sending.publish, beside=(remember,)):
            return None
        id_mark, text_mark = uuid(), uuid()
        prepared = sending.prepare(task_id=id_mark, argsrepr=text_mark)
        message = prepared.message
        if "compression" in message.headers:
            return None
        prepared.record.turn = sent.record.turn
        message.headers[RECORD] = sent.message.headers[RECORD]
        template = cls(
            prepared,
            _encoder(prepared),
            {name: message.headers.get(name) for name in HEADERS},
            id_mark,
            text_mark,
            _Marked.of(message.headers, id_mark, text_mark),
            _Marked.of(message.properties, id_mark, text_mark),
        )
        text = sent.message.headers["argsrepr"]
        record = template.record(sent.record.id, reference, text)
        # If anything else differs between two messages, there is no template.
        if (record.envelope, record.body) != (sent.record.envelope, sent.record.body):
            return None
        return template if template.message(record, text) == sent.message else None

    def record(self, task_id: str, reference: Reference, text: str) -> NewRecord:
        """Return a row's record; ``text`` is that of the task's arguments."""
        model, row = row_of(reference)
        like = self.prepared.record
        return type(like)(
            task_id,
            like.task,
            like.created_at,
            like.send_at,
            like.expires_at,
            like.state,
            model,
            row,
            like.turn,
            like.envelope.replace(f'"{self.text_mark}"', _as_json(text)).replace(
                self.id_mark, task_id
            ),
            self.encode(reference, {**self.bound, "id": task_id}),
        )

    def message(self, record: NewRecord, text: str) -> Message:
        """Return the message of a record that ``record`` has returned."""
        like = self.prepared.message
        return Message(
            record.body,
            like.content_type,
            like.content_encoding,
            self.headers.filled(like.headers, record.id, text),
            like.exchange,
            like.routing_key,
            like.queues,
            self.properties.filled(like.properties, record.id, text),
        )


def _encoder(prepared: PreparedTask) -> _Encode:
    """Return the function that encodes the body of a message for a row."""
    args, kwargs, embed = prepared.call
    encoding, serializer = prepared.message.content_encoding, prepared.serializer
    own = format_of(serializer)
    write = own and own.row_body_writer(args, kwargs, embed, serializer)

    def encode(reference: Reference, headers: Mapping[str, Any]) -> bytes:
        payload: Any
        if write:
            payload = write(reference, headers)
        else:
            body = (args, {**kwargs, THIS: reference.as_plain()}, embed)
            _, _, payload = dumps(body, serializer=serializer)
        return payload.encode(encoding) if isinstance(payload, str) else bytes(payload)

    return encode
