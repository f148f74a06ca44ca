"""Bodies of one call on many rows, whose arguments are encoded once."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods import ModelReference
from cereal_methods.entry_points import format_of
from cereal_methods.rows.reference import THIS
from cereal_methods.serializers.binding import remember
from cereal_methods.serializers.frame import EMPTY_EMBED

SERIALIZERS = ["cereal-pickle", "cereal-json", "cereal-yaml", "cereal-msgpack"]
ROWS = [ModelReference("shop.Order", pk, "default") for pk in (1, 12345, "a \N{SNOWMAN}")]


@pytest.mark.parametrize("signs_all", [False, True])
@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize(
    ("args", "kwargs", "embed"),
    [
        ((), {}, {}),
        (("dhl", 5), {"express": True}, {}),
        ([[1, 2], {"$ref": 1}], {}, {}),
        ((1,), {}, {"callbacks": [{"task": "next"}]}),
    ],
    ids=["none", "some", "marks", "callbacks"],
)
def test_a_body_is_that_of_the_whole_call(
    settings: Any,
    serializer: str,
    signs_all: bool,
    args: Any,
    kwargs: dict[str, Any],
    embed: dict[str, Any],
) -> None:
    settings.CEREAL_METHODS = {"SIGN_ALL": signs_all}
    body_format = format_of(serializer)
    assert body_format is not None
    embed = {**EMPTY_EMBED, **embed}
    write = body_format.row_body_writer(args, kwargs, embed, serializer)
    if write is None:
        assert "$ref" in str(args)
        return
    for row in ROWS:
        body = (args, {**kwargs, THIS: row.as_plain()}, embed)
        headers = {"task": "a.task", "id": str(row.pk), "expires": None}
        remember(body=body, headers=headers)
        assert write(row, headers) == body_format.dumps(body, serializer)


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_arguments_that_name_rows_are_not_encoded_once(serializer: str) -> None:
    """One of them may be the row itself, which a body holds once."""
    body_format = format_of(serializer)
    assert body_format is not None
    assert body_format.row_body_writer((ROWS[0],), {}, {}, serializer) is None


def test_other_serializers_have_no_format() -> None:
    assert format_of("json") is None
