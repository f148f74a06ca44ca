"""The types of keys, which are compared with the model's before a query."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any
from unittest import mock

import pytest

from cereal_methods import ModelReference, fetch
from cereal_methods.exceptions import InvalidMessage, UnsupportedKey
from cereal_methods.rows import key_types
from cereal_methods.rows.fetch import fetch_all
from cereal_methods.rows.reference import QuerySetReference
from cereal_methods.rows.wire import reference_from_key
from tests.shop.models import Order


@pytest.mark.parametrize(
    "key", [decimal.Decimal("1e1000000"), decimal.Decimal("5.5"), uuid.UUID(int=5), 10**1001]
)
def test_an_integer_field_takes_only_integers(key: Any) -> None:
    with (
        mock.patch.object(Order._meta.pk, "to_python", side_effect=AssertionError),
        pytest.raises(UnsupportedKey),
    ):
        reference_from_key(Order, key)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("label", "key", "rest"),
    [
        ("shop.Order", "5", "'5'. Expected: int."),
        ("shop.Order", decimal.Decimal("1e1000000"), "1E+1000000. Expected: int."),
        ("shop.Order", 2**64, f"{2**64}. Expected: int."),
        ("shop.Order", datetime.date(2020, 1, 1), "2020-01-01. Expected: int."),
        ("shop.Document", 5, "5. Expected: UUID."),
        ("shop.Country", 5, "5. Expected: str."),
        ("shop.Line", 5, "5. Expected: int, int."),
        ("shop.Line", (5, "1"), "(5, '1'). Expected: int, int."),
        ("shop.Line", (5, 1, 1), "(5, 1, 1). Expected: int, int."),
        ("shop.Gift", "5", "'5'. Expected: int."),
    ],
)
def test_the_type_of_a_key_is_compared_with_its_field_before_a_query(
    label: str, key: Any, rest: str, django_assert_num_queries: Any
) -> None:
    one, many = ModelReference(label, key, "default"), QuerySetReference(label, (key,), "default")
    for references in ([one], [many], [one, many]):
        with django_assert_num_queries(0), pytest.raises(InvalidMessage) as caught:
            fetch_all(references)
        assert str(caught.value) == (
            f"A message refers to {label} by a primary key of the wrong type: {rest}"
        )
        assert caught.value.__cause__ is None


def test_django_s_errors_about_keys_are_not_quoted() -> None:
    with (
        mock.patch.object(key_types, "_types_of", return_value=(None,)),
        pytest.raises(InvalidMessage) as caught,
    ):
        fetch(ModelReference("shop.Order", "a\nb", "default"))

    assert str(caught.value) == (
        "A message refers to shop.Order by a primary key of the wrong type: 'a\\\\nb'. "
        "Expected: a custom type (ValueError)."
    )
