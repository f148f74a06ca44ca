"""Bodies as every released version wrote them, which stay readable.

``python -m tests.unit.test_golden`` writes those of the present version that are not
there yet; what is there is never written again.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any, Final

import pytest
from kombu.serialization import registry

from cereal_methods import ModelReference
from cereal_methods.references import QuerySetReference

from .bodies import FORMATS, call_body, decode, encode

GOLDEN: Final = Path(__file__).parent / "golden"
VERSION: Final = "1"

ORDER = ModelReference("shop.Order", 5, "default")
ARCHIVED = ModelReference("shop.Order", 5, "archive")
KEYS = [
    ModelReference("shop.Document", uuid.UUID(int=7), "default"),
    ModelReference("shop.Country", "ß", "default"),
    ModelReference("shop.Day", datetime.date(2026, 11, 23), "default"),
    ModelReference(
        "shop.Instant", datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.timezone.utc), "x"
    ),
    ModelReference("shop.Price", decimal.Decimal("9.90"), "default"),
    ModelReference("shop.Line", (5, 1), "default"),
]
ROWS = QuerySetReference("shop.Order", (5, 6, 7), "default")
LINK = {"task": "shop.next", "args": [ORDER, ARCHIVED], "kwargs": {"a": 1}, "options": {}}

CALLS: Final[dict[str, Any]] = {
    "plain": call_body(["größe", 1], {"a": [None, True, 2.5]}),
    "method": call_body(["dhl"], {"this": ORDER, "express": True}),
    "references": call_body([ORDER, [ARCHIVED, {"order": ORDER}]], {"keys": KEYS, "rows": ROWS}),
    "canvas": call_body([1], {"this": ORDER}, callbacks=[LINK], errbacks=[LINK]),
    "marked": call_body([{"$ref": 0}, ORDER]),
}
RESULTS: Final[dict[str, Any]] = {
    "result": {"status": "FAILURE", "result": [ORDER, ARCHIVED], "task_id": "5"}
}
FILES: Final = sorted(path.relative_to(GOLDEN) for path in GOLDEN.glob("*/*/*"))


def payload(path: Path, name: str) -> Any:
    data = (GOLDEN / path).read_bytes()
    return data if registry._encoders[name].content_encoding == "binary" else data.decode()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_body_of_any_version_is_read(path: Path) -> None:
    _, name, kind = path.parts

    body = decode(payload(path, name), name)

    if kind in RESULTS:
        assert body == RESULTS[kind]
        return
    args, kwargs, embed = body
    expected_args, expected_kwargs, expected_embed = CALLS[kind]
    assert args.plainly(references=True) == list(expected_args)
    assert kwargs.plainly(references=True) == expected_kwargs
    assert dict(embed) == expected_embed


def test_every_kind_of_body_is_kept() -> None:
    kept = {path.parts for path in FILES}

    assert kept >= {(VERSION, name, kind) for name in FORMATS for kind in (*CALLS, *RESULTS)}


@pytest.mark.parametrize("kind", [*CALLS, *RESULTS])
@pytest.mark.parametrize("name", ["cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_the_format_changes_with_its_version_only(name: str, kind: str) -> None:
    written = encode({**CALLS, **RESULTS}[kind], name)

    assert written == payload(Path(VERSION, name, kind), name)


def write() -> None:
    """Keep what the present version writes."""
    for name in FORMATS:
        for kind, body in {**CALLS, **RESULTS}.items():
            path = GOLDEN / VERSION / name / kind
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                written = encode(body, name)
                path.write_bytes(written.encode() if isinstance(written, str) else written)


if __name__ == "__main__":
    import django

    django.setup()
    write()
