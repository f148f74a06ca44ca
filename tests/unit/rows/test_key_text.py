"""Keys in errors, logs and reprs: short, and on one line."""

from __future__ import annotations

from typing import Any

import pytest

from cereal_methods import ModelReference
from cereal_methods.exceptions import InvalidModelTask
from cereal_methods.rows.fetch import missing_error
from cereal_methods.rows.key_text import describe_type, key_text
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.running.locking import rows_locked
from tests.shop.models import Order


def test_the_text_of_a_key_is_on_one_line() -> None:
    reference = ModelReference("shop.Country", "de\nTask x succeeded", "a\nb")

    assert repr(reference) == r"<shop.Country de\nTask x succeeded>"
    assert "\n" not in str(missing_error([reference]))
    assert "\n" not in str(rows_locked("shop.Country", ["a\nb"], "default"))
    assert repr(ModelReference("shop.\x1b[31m", "\u2028", "x")) == r"<shop.\x1b[31m \u2028>"
    assert repr(QuerySetReference("a\nb", (), "x")) == r"<a\nb 0 rows>"


def test_texts_of_keys_are_short() -> None:
    long = ModelReference("x" * 10_000, "y" * 10_000, "default")

    assert len(repr(long)) < 250
    assert repr(long).startswith("<xxx")
    assert len(repr(ModelReference("shop.Line", ("z" * 10_000,) * 64, "default"))) < 500
    assert len(key_text(10**5000)) < 100
    assert repr(ModelReference("shop.Country", "Größe 5", "x")) == "<shop.Country Größe 5>"


def test_a_value_that_is_not_a_key_is_not_quoted() -> None:
    with pytest.raises(InvalidModelTask) as caught:
        Order.ship.task.apply(kwargs={"this": "card 4111\n1111"}, throw=True)

    error: BaseException | None = caught.value
    assert str(error) == (
        "The task tests.shop.models.Order.ship was sent with this=a str of length 14, which is "
        "neither a primary key of shop.Order nor a reference to a row of it."
    )
    while error is not None:
        assert "4111" not in str(error)
        error = None if error.__suppress_context__ else error.__context__


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (5, "5"),
        (10**5000, "<an integer of 16,610 bits>"),
        ("card 4111", "a str of length 9"),
        ([1, 2], "a list of length 2"),
        (object(), "a object"),
    ],
    ids=lambda value: value if type(value) is str else "",
)
def test_a_value_in_the_wrong_place_is_described_by_its_type(value: Any, text: str) -> None:
    assert describe_type(value) == text
