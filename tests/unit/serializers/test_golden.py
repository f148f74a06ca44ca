"""Bodies as every released version wrote them, which stay readable.

``python -m tests.unit.serializers.test_golden`` writes those of the present version that are not
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
from cereal_methods.results.ids import failure_record_id, message_id, row_id
from cereal_methods.results.outcome import OUTCOME
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.rows.wire import reference_from_plain
from tests.celery import app

from ..bodies import FORMATS, KOMBUS, call_body, decode, encode

GOLDEN: Final = Path(__file__).parents[1] / "golden"
VERSION: Final = "1"

ORDER = ModelReference("shop.Order", 5, "default")
ARCHIVED = ModelReference("shop.Order", 5, "archive")
KEYS = [
    ModelReference("shop.Document", uuid.UUID(int=7), "default"),
    ModelReference("shop.Country", "ß", "default"),
    ModelReference("shop.Day", datetime.date(2026, 11, 23), "default"),
    ModelReference(
        "shop.Instant", datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC), "x"
    ),
    ModelReference("shop.Price", decimal.Decimal("9.90"), "default"),
    ModelReference("shop.Line", (5, 1), "default"),
]
ROWS = QuerySetReference("shop.Order", (5, 6, 7), "default")
LINK = {"task": "shop.next", "args": [ORDER, ARCHIVED], "kwargs": {"a": 1}, "options": {}}

#: A method's signature, whose own row is in the form that any serializer carries.
STEP = {
    "task": "shop.models.Order.ship",
    "args": ["dhl"],
    "kwargs": {"this": ORDER.as_plain()},
    "options": {"task_id": "7"},
}
CHORD = {"task": "shop.last", "args": [ROWS], "kwargs": {"this": ARCHIVED.as_plain()}}
ERROR = {
    "exc_type": "DoesNotExist",
    "exc_message": ["gone", ORDER],
    "exc_module": "tests.shop.models",
}

CALLS: Final[dict[str, Any]] = {
    "plain": call_body(["größe", 1], {"a": [None, True, 2.5]}),
    "method": call_body(["dhl"], {"this": ORDER, "express": True}),
    "references": call_body([ORDER, [ARCHIVED, {"order": ORDER}]], {"keys": KEYS, "rows": ROWS}),
    "canvas": call_body([1], {"this": ORDER}, callbacks=[LINK], errbacks=[LINK]),
    "marked": call_body([{"$ref": 0}, ORDER]),
    "signature": call_body(["dhl"], {"this": ORDER.as_plain()}, chain=[STEP]),
    "chord": call_body([], {}, chain=[STEP, LINK], chord=CHORD),
    "batch": call_body(["dhl"], {"this": ROWS.as_plain(), "other": ORDER}),
    "nothing": call_body(),
}

#: Arguments alone, as they are sent where tasks run at once.
EAGER: Final[dict[str, Any]] = {"eager": ([ORDER, [1]], {"this": ARCHIVED, "a": None})}

RESULTS: Final[dict[str, Any]] = {
    "result": {"status": "FAILURE", "result": [ORDER, ARCHIVED], "task_id": "5"},
    "error": {"status": "FAILURE", "result": ERROR, "traceback": "...", "task_id": "5"},
    "success": {"status": "SUCCESS", "result": {"order": ORDER, "rows": ROWS}, "task_id": "5"},
    "part": [1, "5", "SUCCESS", [ORDER, None]],
    "value": [None, True, 2.5, {"größe": 1}],
    "outcome": {
        "status": "SUCCESS",
        "result": {OUTCOME: [4, [1, None, None, None], [[1, 6, "E: e"]], [[2, 7, "E: e"]], [3]]},
    },
}

#: What follows from the id of a bulk, or of a task: of messages, rows and notes.
IDS: Final = [
    "11489c60-7e38-5fe6-a4e6-1f1ba2e5b497",
    "4ae76e30-4728-56ed-8556-6f16c1aee0c9",
    "6f7f4df9-e50c-5d87-825f-612d94ad9b38",
    "1fce1b17-8e88-594a-8b49-cd558e44b0e2",
]

#: Results that are no record of a backend's, and whose rows are fetched at once.
BARE: Final[dict[str, Any]] = {"bare": [ORDER, {"again": ORDER}]}

BODIES: Final = {**CALLS, **EAGER, **RESULTS, **BARE}

#: What has no references: what is kept has a header all the same, as it was once written.
WITHOUT_REFERENCES: Final = {"plain", "nothing", "value", "outcome"}

#: Methods under Celery's own json.
PLAIN: Final = {kind: CALLS[kind] for kind in ("signature", "nothing")} | {
    "batch": call_body(["dhl"], {"this": ROWS.as_plain()})
}
FILES: Final = sorted(path.relative_to(GOLDEN) for path in GOLDEN.glob("*/*/*"))


def files(*kinds: str, ours: bool = True) -> Any:
    """Let a test run for the files that hold certain kinds of bodies."""
    paths = [path for path in FILES if path.name in kinds and (path.parts[1] in FORMATS) is ours]
    return pytest.mark.parametrize("path", paths, ids=str)


def payload(path: Path, name: str) -> Any:
    data = (GOLDEN / path).read_bytes()
    return data if registry._encoders[name].content_encoding == "binary" else data.decode()


def read(path: Path) -> Any:
    """Return what a process has of the body in a file."""
    name = path.parts[1]
    return decode(payload(path, name), name)


def expected(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return keyword arguments with a reference for the plain form of ``self``."""
    return {key: reference_from_plain(value) or value for key, value in kwargs.items()}


@files(*CALLS)
def test_a_call_of_any_version_is_read(path: Path) -> None:
    args, kwargs, embed = read(path)

    expected_args, expected_kwargs, expected_embed = CALLS[path.name]
    assert args.with_references() == list(expected_args)
    assert kwargs.with_references() == expected(expected_kwargs)
    assert dict(embed) == expected_embed


@files(*EAGER)
def test_arguments_of_any_version_are_read_where_tasks_run_at_once(path: Path, eager: None) -> None:
    args, kwargs = read(path)

    assert args.with_references() == EAGER[path.name][0]
    assert kwargs.with_references() == EAGER[path.name][1]


@files(*RESULTS)
def test_a_result_of_any_version_is_read(path: Path) -> None:
    decoded = read(path)

    assert decoded == RESULTS[path.name]


@pytest.mark.django_db
@files(*BARE)
def test_a_bare_result_of_any_version_is_fetched(path: Path) -> None:
    order = ORDER.model(pk=5)
    order.save()

    assert read(path) == [order, {"again": order}]


@files(*PLAIN, ours=False)
def test_a_method_under_celerys_own_json_is_read_whatever_wrote_it(path: Path) -> None:
    args, kwargs, embed = read(path)

    expected_args, expected_kwargs, expected_embed = PLAIN[path.name]
    assert (args, kwargs, embed) == (list(expected_args), expected_kwargs, expected_embed)
    assert reference_from_plain(kwargs.get("this")) == reference_from_plain(
        expected_kwargs.get("this")
    )


def test_every_kind_of_body_is_kept() -> None:
    kept = {path.parts for path in FILES}

    assert kept == {
        *((VERSION, name, kind) for name in FORMATS for kind in BODIES),
        *((VERSION, "json", kind) for kind in PLAIN),
    }


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("name", ["cereal-json", "cereal-yaml", "cereal-msgpack"])
def test_the_format_changes_only_with_its_version(
    name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    if kind in EAGER:
        request.getfixturevalue("eager")

    written = encode(BODIES[kind], name)

    if kind in WITHOUT_REFERENCES:
        assert written == encode(BODIES[kind], KOMBUS[name])
    else:
        assert written == payload(Path(VERSION, name, kind), name)


def test_a_bulk_of_any_version_finds_its_messages() -> None:
    bulk = "0d6c7b0e-5a4c-4a0e-9d0b-6f1f2f6f4a55"

    assert [
        message_id(bulk, 0),
        message_id(bulk, 999_999),
        row_id(bulk, 3),
        failure_record_id(bulk),
    ] == IDS


def write() -> None:
    """Keep what the present version writes."""
    for name in FORMATS:
        for kind, body in BODIES.items():
            app.conf.task_always_eager = kind in EAGER
            keep(name, kind, body)
    app.conf.task_always_eager = False
    for kind, body in PLAIN.items():
        keep("json", kind, body)


def keep(name: str, kind: str, body: Any) -> None:
    path = GOLDEN / VERSION / name / kind
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        written = encode(body, name)
        path.write_bytes(written.encode() if isinstance(written, str) else written)


if __name__ == "__main__":
    import django

    django.setup()
    write()
