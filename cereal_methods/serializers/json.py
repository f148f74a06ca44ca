"""``cereal-json``: what kombu's ``json`` carries, and references.

A body without references is what kombu's ``json`` writes. Beside references the JSON is
compact. There a reference is ``{"$ref": 0}``. Data of the user's that has such a key itself is
never taken for one: the body then names another key.
"""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from kombu.utils.json import JSONEncoder, object_hook

from ..arguments import LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import CerealError, UnsupportedValue
from .body import BodyFormat, row_at
from .tables import NoTable, Table


class JSONFormat(BodyFormat):
    """The format of ``cereal-json``."""

    name = "cereal-json"
    newline = "\n"

    def encode(self, value: Any, table: Table) -> str:
        """Return the JSON of ``value``, its references entered in ``table``."""
        try:
            encoder = _plain(table) if isinstance(table, NoTable) else _Encoder(table)
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
        """Return the value of the JSON, with ``rows[i]`` in the place of reference ``i``."""
        # Most messages hold neither, and are decoded in half the time without a hook.
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

    def containers(self, body: Any) -> int:
        """Return how many lists and dicts a body has at most."""
        if isinstance(body, str):
            return body.count("[") + body.count("{")
        return int(body.count(b"[") + body.count(b"{"))

    def begins_call(self, body: Any) -> bool:
        """Tell whether a body that cannot be read was that of a call."""
        start, embed = ("[[", '"callbacks"') if isinstance(body, str) else (b"[[", b'"callbacks"')
        return bool(body.startswith(start)) and embed in body

    def is_ambiguous(self, blobs: Sequence[str], table: Table) -> bool:
        """Tell whether the user's data has the mark in it."""
        mark = f'"{table.mark}"'
        return sum(blob.count(mark) for blob in blobs) != table.marks_written


class _Encoder(JSONEncoder):
    def __init__(self, table: Table) -> None:
        # Alone, it is kombu's; beside references, compact.
        super().__init__(separators=None if isinstance(table, NoTable) else (",", ":"))
        self.table = table

    def default(self, o: Any) -> Any:
        if type(o) in _KOMBUS:
            return JSONEncoder.default(self, o)
        place = self.table.place_of(o)
        if place is not None:
            self.table.marks_written += 1
            return {self.table.mark: place}
        if isinstance(o, (LazyArgs, LazyKwargs, LazyEmbed)):
            return o.plainly(references=self.table.is_call)
        return super().default(o)


_plain: Final = cache(_Encoder)

#: What kombu's encoder writes by itself, and what is no reference.
_KOMBUS: Final = frozenset(
    {datetime.datetime, datetime.date, datetime.time, decimal.Decimal, uuid.UUID, bytes}
)

FORMAT: Final = JSONFormat()
