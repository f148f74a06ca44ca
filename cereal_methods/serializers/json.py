"""``cereal-json``: what kombu's ``json`` carries, and references.

A reference is ``{"$ref": 0}``. Data of the user's that has such a key itself is
never taken for one: the body then names another key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from kombu.utils.json import JSONEncoder, object_hook

from ..arguments import LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import CerealError, UnsupportedValue
from ..references import reference_of
from .body import BodyFormat, Table, row_at


class JSONFormat(BodyFormat):
    """The format of ``cereal-json``."""

    name = "cereal-json"
    newline = "\n"

    def encode(self, value: Any, table: Table) -> str:
        """Return the JSON of ``value``, its references entered in ``table``."""
        try:
            return _Encoder(table).encode(value)
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

    def is_ambiguous(self, blobs: Sequence[str], table: Table) -> bool:
        """Tell whether the user's data has the mark in it."""
        mark = f'"{table.mark}"'
        return sum(blob.count(mark) for blob in blobs) != table.marks_written


class _Encoder(JSONEncoder):
    def __init__(self, table: Table) -> None:
        super().__init__(separators=(",", ":"))
        self.table = table

    def default(self, o: Any) -> Any:
        reference = reference_of(o)
        if reference is not None:
            self.table.marks_written += 1
            return {self.table.mark: self.table.add(reference)}
        if isinstance(o, (LazyArgs, LazyKwargs, LazyEmbed)):
            return o.plainly(references=self.table.is_call)
        return super().default(o)


FORMAT: Final = JSONFormat()
