"""``cereal-json``: what kombu's ``json`` carries, and references.

A body without references is what kombu's ``json`` writes. In a body with references the JSON is
compact, and a reference is ``{"$ref":0}``, with its position in the table. If the user's data
has the key ``$ref``, the header line names another key.
"""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from ..celery_api.kombu import JSONEncoder, object_hook
from ..exceptions import CerealError, UnsupportedValue
from ..rows.container import ArgumentContainer
from .body import BodyFormat, row_at
from .tables import NoTable, Table


class JSONFormat(BodyFormat):
    """The format of ``cereal-json``."""

    name = "cereal-json"
    newline = "\n"

    def encode(self, value: Any, table: Table) -> str:
        """Return the JSON of ``value``, and add its references to ``table``."""
        try:
            encoder = _plain_encoder(table) if isinstance(table, NoTable) else _Encoder(table)
            return encoder.encode(value)
        except (TypeError, ValueError) as error:
            if isinstance(error, CerealError):
                raise
            reason = str(error).rstrip(".")
            raise UnsupportedValue(
                f"cereal-json cannot carry this value: {reason}. Convert it, or send the task with "
                "serializer='cereal-pickle'."
            ) from error

    def decode(self, blob: str, rows: Sequence[Any], mark: str) -> Any:
        """Return the value of the JSON, with ``rows[i]`` in place of reference ``i``."""
        # Most messages have neither, and without a hook decoding takes half the time.
        if f'"{mark}"' not in blob and '"__type__"' not in blob:
            return json.loads(blob)

        def hook(pairs: dict[str, Any]) -> Any:
            if len(pairs) == 1 and mark in pairs:
                return row_at(rows, pairs[mark])
            return object_hook(pairs)

        return json.loads(blob, object_hook=hook)

    def decode_plain(self, body: str) -> Any:
        """Return the value of a body that kombu's ``json`` may have written."""
        if '"__type__"' not in body:
            return json.loads(body)
        return json.loads(body, object_hook=object_hook)

    def max_depth(self, body: Any) -> int:
        """Return the number of brackets, which is at least that of the levels."""
        if isinstance(body, str):
            return body.count("[") + body.count("{")
        return int(body.count(b"[") + body.count(b"{"))

    def looks_like_call(self, body: Any) -> bool:
        """Whether an unreadable body was probably that of a call."""
        start, embed = ("[[", '"callbacks"') if isinstance(body, str) else (b"[[", b'"callbacks"')
        return bool(body.startswith(start)) and embed in body

    def is_ambiguous(self, blobs: Sequence[str], table: Table) -> bool:
        """Whether the user's data contains the mark."""
        mark = f'"{table.mark}"'
        return sum(blob.count(mark) for blob in blobs) != table.marks_written


class _Encoder(JSONEncoder):
    def __init__(self, table: Table) -> None:
        # Without references the JSON is kombu's, with references it is compact.
        super().__init__(separators=None if isinstance(table, NoTable) else (",", ":"))
        self.table = table

    def default(self, o: Any) -> Any:
        if type(o) in _KOMBU_TYPES:
            return JSONEncoder.default(self, o)
        place = self.table.place_of(o)
        if place is not None:
            self.table.marks_written += 1
            return {self.table.mark: place}
        if isinstance(o, ArgumentContainer):
            return o.with_references() if self.table.is_call else o.for_json()
        return super().default(o)


_plain_encoder: Final = cache(_Encoder)

#: Types that kombu's encoder writes, so that no reference travels in their place.
_KOMBU_TYPES: Final = frozenset(
    {datetime.datetime, datetime.date, datetime.time, decimal.Decimal, uuid.UUID, bytes}
)

FORMAT: Final = JSONFormat()
